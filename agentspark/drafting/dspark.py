"""Drafting with a DSpark checkpoint: batched over requests, its context in the paged pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from agentspark.drafting.masked import DraftMask, follow, mask_logits
from agentspark.drafting.proposal import DraftProbs, Proposal
from agentspark.dspark.calibration import Temperatures
from agentspark.dspark.model import DSparkModel
from agentspark.engine.draw import draw_tokens
from agentspark.engine.noise import PositionNoise
from agentspark.engine.params import SamplingParams
from agentspark.engine.sampler import argmax_ids, probabilities
from agentspark.kv.attention import attend
from agentspark.kv.batch import AttentionBatch, Segment
from agentspark.kv.store import KVStore
from agentspark.models.prepack import PackedLinear, can_prepack, prepack

SOURCE = "dspark"

# The drafter's keys and values of its context come without queries, so these two go together.
_SHARED_INPUT = (("k_proj", "v_proj"), ("gate_proj", "up_proj"))


@dataclass(frozen=True, slots=True)
class DraftRequest:
    """One request to draft for: its last committed token at position ``context``.

    ``blocks`` must cover ``context + block_size`` tokens: the block's own keys and values are
    written behind the context and overwritten when the round is committed. A seeded request brings
    its ``noise`` and the output ``position`` of the first draft; one with a grammar what it allows.
    """

    anchor: int
    context: int
    blocks: Sequence[int]
    sampling: SamplingParams
    generator: torch.Generator | None = None
    noise: PositionNoise | None = None
    position: int = 0
    grammar: DraftMask | None = None

    @property
    def drawn(self) -> bool:
        """Whether drafts are drawn at random, so that verification needs their distributions."""
        return not self.sampling.greedy and self.noise is None


class DSparkDrafter:
    """The drafter of one engine. Used by the loop thread alone.

    Its context covers the positions strictly before a request's anchor; ``append`` extends it with
    the features of the tokens a round committed.
    """

    def __init__(self, model: DSparkModel, temperatures: Temperatures, name: str) -> None:
        self.name = name
        self.config = model.config
        self.block_size = model.config.block_size
        self._model = model
        self.temperatures = temperatures
        self._store: KVStore | None = None
        assert model.lm_head is not None, "the target's matrices are attached before drafting"
        self._lm_head: torch.nn.Module | None = None
        if can_prepack(model):
            self._lm_head = PackedLinear(model.lm_head, None)
            prepack(model, shared_input=_SHARED_INPUT)

    def bind(self, store: KVStore) -> None:
        """Use the pool that the target's attention uses."""
        self._store = store

    @torch.inference_mode()
    def append(self, features: Tensor, positions: Tensor, slots: Tensor) -> None:
        """Add committed tokens to the context.

        ``features`` ``[T, m * d]`` are the target's hidden states of the tokens at ``positions``
        ``[T]``, stored in ``slots`` ``[T]``.
        """
        store = self._pool()
        backbone = self._model.backbone
        context = backbone.context_features(features)
        for layer, (k, v) in zip(
            store.drafter, backbone.context_kv(context, positions), strict=True
        ):
            layer.write(slots, k, v)

    @torch.inference_mode()
    def propose(self, requests: Sequence[DraftRequest]) -> list[Proposal]:
        """One block of drafts for each request."""
        anchors = torch.tensor([request.anchor for request in requests], device=self._device)
        hidden = self._block_hidden(requests, anchors)
        logits = self._base_logits(hidden)
        tokens, columns, rows = self._sequential_stage(requests, anchors, hidden, logits)
        survival = self._survival(hidden, anchors, tokens)
        ids, estimates = tokens.tolist(), survival.tolist()
        proposals = []
        for index, request in enumerate(requests):
            probs = None
            if request.drawn:
                probs = DraftProbs.of(
                    torch.stack([step[index] for step in rows]),
                    columns[index].tolist(),
                    self._model.draft_token_ids,
                )
            proposals.append(Proposal(ids[index], estimates[index], probs, SOURCE))
        return proposals

    def _block_hidden(self, requests: Sequence[DraftRequest], anchors: Tensor) -> Tensor:
        """The backbone's states ``[B, K, d]`` of all slots of all blocks."""
        store, size = self._pool(), self.block_size
        segments = [
            Segment(index * size, size, request.context, request.blocks, causal=False)
            for index, request in enumerate(requests)
        ]
        batch = AttentionBatch(
            segments=segments,
            rows=len(requests) * size,
            block_tokens=store.block_tokens,
            scratch_slot=store.scratch_slot,
            exact=False,
            dtype=self._dtype,
            device=self._device,
        )

        def paged(q: Tensor, k: Tensor, v: Tensor, layer: int, /) -> Tensor:
            store.drafter[layer].write(batch.slots, k, v)
            return attend(q, store.drafter[layer], batch)

        starts = torch.tensor([[request.context] for request in requests], device=self._device)
        positions = (starts + torch.arange(size, device=self._device)).flatten()
        inputs = self._model.block_inputs(anchors)
        hidden = self._model.backbone.block_hidden(inputs, positions, paged)
        return hidden.view(len(requests), size, -1)

    def _base_logits(self, hidden: Tensor) -> Tensor:
        if self._lm_head is None:
            return self._model.base_logits(hidden)
        logits: Tensor = self._lm_head(hidden)
        return logits

    def _sequential_stage(
        self,
        requests: Sequence[DraftRequest],
        anchors: Tensor,
        hidden: Tensor,
        base: Tensor,
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Draw the block left to right.

        Returns target ids ``[B, K]``, draft-vocabulary columns ``[B, K]`` and, where any request
        samples, the distributions ``[B, V_draft]`` of every step.
        """
        head = self._model.markov_head
        params = [request.sampling for request in requests]
        grammars = [request.grammar for request in requests]
        greedy = all(p.greedy for p in params)
        state = head.start(len(requests)) if head is not None else None
        previous, tokens, columns, rows = anchors, [], [], []
        for k in range(self.block_size):
            logits = base[:, k]
            if head is not None:
                bias, state = head.step(previous, hidden[:, k], state)
                logits = logits + bias
            logits = mask_logits(logits, grammars, self._model.draft_token_ids)
            if greedy:
                column = torch.tensor(argmax_ids(logits), device=self._device)
            else:
                probs = probabilities(logits, params)
                column = torch.tensor(self._draw(requests, probs, k), device=self._device)
                rows.append(probs)
            previous = self._model.to_target_ids(column)
            follow(grammars, previous.tolist())
            tokens.append(previous)
            columns.append(column)
        return torch.stack(tokens, dim=1), torch.stack(columns, dim=1), rows

    def _draw(self, requests: Sequence[DraftRequest], probs: Tensor, k: int) -> list[int]:
        """Column of draft ``k`` of each request, from its row of ``probs [B, V_draft]``."""
        columns = draw_tokens(probs, [request.generator for request in requests])
        for index, request in enumerate(requests):
            if request.noise is not None:
                row, ids = probs[index : index + 1], self._model.draft_token_ids
                columns[index] = request.noise.choose(row, request.position + k, ids)[0]
        return columns

    def _survival(self, hidden: Tensor, anchors: Tensor, tokens: Tensor) -> Tensor:
        """Calibrated survival ``[B, K]`` of every prefix of the drafts."""
        model = self._model
        if model.confidence_head is None:
            return torch.ones(tokens.shape, device=self._device)
        before = torch.cat([anchors[:, None], tokens[:, :-1]], dim=1)
        embedded = None if model.markov_head is None else model.markov_head.previous(before)
        return self.temperatures.survival(model.confidence_head(hidden, embedded))

    @property
    def _device(self) -> torch.device:
        assert self._model.embed is not None, "the target's matrices are attached before drafting"
        return self._model.embed.device

    @property
    def _dtype(self) -> torch.dtype:
        assert self._model.embed is not None, "the target's matrices are attached before drafting"
        return self._model.embed.dtype

    def _pool(self) -> KVStore:
        assert self._store is not None, "the drafter is bound to a pool before it is used"
        return self._store
