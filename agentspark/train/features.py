"""What the target said about a sequence: hidden states of chosen layers, and its predictions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from agentspark.dspark.capping import capped
from agentspark.dspark.check import target_fingerprint
from agentspark.errors import TrainError
from agentspark.models.feature_hooks import FeatureHooks
from agentspark.models.modules import decoder_layers, logit_cap, target_matrices
from agentspark.train.origin import Origin
from agentspark.train.rows import Example

# Rows whose full-vocabulary logits are held at once; a GPU is filled by more.
_ROWS, _CUDA_ROWS = 128, 8192
# Tokens of one pass over several sequences, their padding included.
_PASS_TOKENS = 32_768


class TargetReader:
    """Runs the target over finished sequences and keeps what training needs.

    ``layer_ids`` are 0-based decoder layers (their output is kept), -1 the embedding output.
    With ``prompts`` the predictions at the prompt's positions are kept beside the response's.
    """

    def __init__(
        self, model: PreTrainedModel, layer_ids: Sequence[int], *, prompts: bool = False
    ) -> None:
        self.model, self.prompts = model, prompts
        self.layer_ids = tuple(layer_ids)
        count = len(decoder_layers(model))
        if not self.layer_ids or self.layer_ids[-1] >= count - 1:
            raise TrainError(
                f"target_layer_ids={self.layer_ids} cannot be read of {count} layers: "
                "give increasing numbers below the last layer's."
            )
        self.embed, self.lm_head = target_matrices(model)
        self.cap = logit_cap(model)

    @cached_property
    def origin(self) -> Origin:
        """What is read of which target."""
        width = self.embed.shape[1] * len(self.layer_ids)
        fingerprint = target_fingerprint(self.embed, self.lm_head)
        return Origin(fingerprint, self.layer_ids, width, self.embed.dtype)

    def read(self, tokens: Sequence[int], start: int) -> Example:
        """Return the example of one sequence whose response begins at ``start``, on the CPU."""
        return self.read_many([(tokens, start)])[0].cpu()

    @torch.inference_mode()
    def read_many(self, sequences: Sequence[tuple[Sequence[int], int]]) -> list[Example]:
        """Return the examples of ``(tokens, start)``, in order, on the target's device.

        Sequences of like length share a pass, padded at their ends, where nothing before sees it.
        """
        for tokens, start in sequences:
            if not 0 < start < len(tokens):
                raise TrainError(
                    f"a sequence of {len(tokens)} tokens with its response at {start} has no "
                    "prompt or no response: leave it out."
                )
        found: dict[int, Example] = {}
        for group in _passes([len(tokens) for tokens, _ in sequences]):
            some = [sequences[i] for i in group]
            found.update(zip(group, self._read_pass(some), strict=True))
        return [found[i] for i in range(len(sequences))]

    def _read_pass(self, sequences: Sequence[tuple[Sequence[int], int]]) -> list[Example]:
        rows = [torch.tensor(list(tokens)) for tokens, _ in sequences]
        hidden, state = self._run(pad_sequence(rows, batch_first=True).to(self.embed.device))
        # The first token has no context to be drafted from.
        firsts = [1 if self.prompts else start for _, start in sequences]
        lasts = [s[first : r.numel()] for s, r, first in zip(state, rows, firsts, strict=True)]
        sizes = [last.shape[0] for last in lasts]
        log_norm, best = self._predict(torch.cat(lasts))
        return [
            Example(
                tokens=row, start=start, hidden=whole[: row.numel()],
                last=last, log_norm=norms, best=likely,
            )
            for row, (_, start), whole, last, norms, likely in zip(
                rows, sequences, hidden, lasts, log_norm.split(sizes), best.split(sizes),
                strict=True,
            )
        ]  # fmt: skip

    def _run(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the chosen layers' states ``[B, S, m * d]`` and the last ones ``[B, S, d]``."""
        with FeatureHooks(self.model, self.layer_ids) as hooks:
            output = self.model.get_decoder()(input_ids=ids, use_cache=False)
        return torch.cat(hooks.states(), dim=-1), output.last_hidden_state

    def _predict(self, last: Tensor) -> tuple[Tensor, Tensor]:
        norms, best = [], []
        for rows in last.split(_CUDA_ROWS if last.is_cuda else _ROWS):
            logits = capped(rows @ self.lm_head.t(), self.cap)
            norms.append(torch.logsumexp(logits.float(), dim=-1))
            best.append(logits.argmax(dim=-1))
        return torch.cat(norms), torch.cat(best)


def _passes(lengths: Sequence[int]) -> list[list[int]]:
    """Return the numbers of sequences that are read together, so that little is padded."""
    passes: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if not passes or (len(passes[-1]) + 1) * lengths[i] > _PASS_TOKENS:
            passes.append([])
        passes[-1].append(i)
    return passes
