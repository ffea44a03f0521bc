"""Changes of logits before sampling: penalties, biases and the ban on ending early."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from agentspark.sampling.params import SamplingParams


class TokenHistory:
    """What one request has read and said, as the penalties need it.

    Holds each distinct token once, so that applying costs time in their number and not in the
    vocabulary. Make one only if ``params.penalized``. Ids must be of the vocabulary
    (``Request.validate`` sees to it).
    """

    __slots__ = ("_counts", "_device", "_said", "_seen", "_seen_ids")

    def __init__(self, prompt_ids: Iterable[int], device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._seen = dict.fromkeys(prompt_ids)
        self._seen_ids = self._ids(self._seen)
        self._said: dict[int, int] = {}
        self._counts: list[float] = []

    def extend(self, token_ids: Iterable[int]) -> None:
        """Count output tokens."""
        fresh = []
        for token in token_ids:
            if token not in self._seen:
                self._seen[token] = None
                fresh.append(token)
            at = self._said.setdefault(token, len(self._counts))
            if at == len(self._counts):
                self._counts.append(0.0)
            self._counts[at] += 1.0
        if fresh:
            self._seen_ids = torch.cat([self._seen_ids, self._ids(fresh)])

    def penalize(self, logits: Tensor, params: SamplingParams, drafts: Sequence[int] = ()) -> None:
        """Change ``logits`` ``[k + 1, V]`` float32 in place.

        Row ``i`` follows the first ``i`` of ``drafts``, which therefore count as said there.
        Repetition divides positive and multiplies negative logits of every token in prompt or
        output (CTRL, Keskar et al. 2019); frequency subtracts per occurrence in the output,
        presence once.
        """
        if params.repetition_penalty != 1.0:
            self._repetition(logits, params.repetition_penalty, drafts)
        if params.frequency_penalty != 0.0 or params.presence_penalty != 0.0:
            self._occurrence(logits, params, drafts)

    def _repetition(self, logits: Tensor, penalty: float, drafts: Sequence[int]) -> None:
        fresh = [t for t in dict.fromkeys(drafts) if t not in self._seen]
        ids = torch.cat([self._seen_ids, self._ids(fresh)]) if fresh else self._seen_ids
        for i, row in enumerate(logits):
            known = len(self._seen) + len(set(drafts[:i]).intersection(fresh))
            values = row[ids[:known]]
            row[ids[:known]] = torch.where(values > 0, values / penalty, values * penalty)

    def _occurrence(self, logits: Tensor, params: SamplingParams, drafts: Sequence[int]) -> None:
        said, counts = dict(self._said), list(self._counts)
        for i, row in enumerate(logits):
            if i:
                at = said.setdefault(drafts[i - 1], len(counts))
                if at == len(counts):
                    counts.append(0.0)
                counts[at] += 1.0
            if counts:
                times = torch.tensor(counts, dtype=row.dtype, device=row.device)
                row[self._ids(said)] -= times * params.frequency_penalty + params.presence_penalty

    def _ids(self, tokens: Iterable[int]) -> Tensor:
        return torch.tensor(list(tokens), dtype=torch.long, device=self._device)


def add_bias(logits: Tensor, params: SamplingParams) -> None:
    """Add ``logit_bias`` to every row of ``logits`` ``[R, V]``, in place."""
    if params.logit_bias:
        tokens, biases = zip(*params.logit_bias, strict=True)
        ids = torch.tensor(tokens, device=logits.device)
        values = torch.tensor(biases, dtype=logits.dtype, device=logits.device)
        logits.index_add_(1, ids, values.expand(logits.shape[0], -1))


def ban_early_end(
    logits: Tensor, params: SamplingParams, generated: int, end_ids: Iterable[int]
) -> None:
    """Make ending impossible before ``min_tokens``: ``end_ids`` get ``-inf``, in place.

    ``logits`` is ``[k + 1, V]``; row ``i`` chooses output token number ``generated + i``
    (from 0).
    """
    rows = min(max(params.min_tokens - generated, 0), logits.shape[0])
    ids = list(end_ids)
    if rows and ids:
        logits[:rows, ids] = float("-inf")
