"""Drafting blocks in parallel (DSpark, DFlash): batched, its context in the paged pool."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agentspark.drafting.drafter import ContextRows, DraftRequest
from agentspark.drafting.drawing import BlockDraw
from agentspark.drafting.paged import PagedDrafter
from agentspark.drafting.proposal import Proposal
from agentspark.dspark.calibration import Temperatures
from agentspark.dspark.model import DSparkModel
from agentspark.kv.attention import attend
from agentspark.kv.batch import Segment
from agentspark.kv.store import LayerShape


class DSparkDrafter(PagedDrafter[DSparkModel]):
    """A ``Drafter`` of the families ``dspark`` and ``dflash``."""

    def __init__(self, model: DSparkModel, temperatures: Temperatures, name: str) -> None:
        super().__init__(model, name)
        self.confident = model.confidence_head is not None
        self.temperatures = temperatures

    @property
    def kv_shapes(self) -> list[LayerShape]:
        """Keys and values of every draft layer."""
        own = self.config
        return [LayerShape(own.num_key_value_heads, own.head_dim)] * own.num_hidden_layers

    @torch.inference_mode()
    def append(self, features: Tensor, rows: ContextRows) -> None:
        """See ``Drafter.append``."""
        store = self._pool()
        backbone = self._model.backbone
        context = backbone.context_features(features)
        for layer, (k, v) in zip(
            store.drafter, backbone.context_kv(context, rows.positions), strict=True
        ):
            layer.write(rows.slots, k, v)

    @torch.inference_mode()
    def propose(
        self, requests: Sequence[DraftRequest], drafts: int | None = None
    ) -> list[Proposal]:
        """One block of drafts for each request, or its first ``drafts``."""
        anchors = torch.tensor([request.anchor for request in requests], device=self._device)
        size = self.block_size if drafts is None else drafts
        states = self._block_hidden(requests, anchors, size)
        hidden = self._model.drafting_slots(states, size)
        drawn = self._sequential_stage(requests, anchors, hidden, self._base_logits(hidden))
        survival = self._survival(hidden, anchors, drawn.tokens)
        return drawn.proposals(survival.tolist(), self.config.family)

    def _block_hidden(
        self, requests: Sequence[DraftRequest], anchors: Tensor, drafts: int
    ) -> Tensor:
        """The backbone's states ``[B * slots, d]`` of all slots of all blocks."""
        store, size = self._pool(), self._model.block_slots(drafts)
        segments = [
            Segment(index * size, size, request.context, request.blocks, causal=False)
            for index, request in enumerate(requests)
        ]
        batch = self._attention(segments, len(requests) * size)

        def paged(q: Tensor, k: Tensor, v: Tensor, layer: int, /) -> Tensor:
            store.drafter[layer].write(batch.slots, k, v)
            return attend(q, store.drafter[layer], batch)

        starts = torch.tensor([[request.context] for request in requests], device=self._device)
        positions = (starts + torch.arange(size, device=self._device)).flatten()
        inputs = self._model.block_inputs(anchors, drafts)
        return self._model.backbone.block_hidden(inputs, positions, paged)

    def _sequential_stage(
        self,
        requests: Sequence[DraftRequest],
        anchors: Tensor,
        hidden: Tensor,
        base: Tensor,
    ) -> BlockDraw:
        """Draw the block left to right."""
        head, drawn = self._model.markov_head, BlockDraw(self._model, requests)
        state = head.start(len(requests)) if head is not None else None
        previous = anchors
        for k in range(hidden.shape[1]):
            logits = base[:, k]
            if head is not None:
                bias, state = head.step(previous, hidden[:, k], state)
                logits = logits + bias
            previous = drawn.choose(logits)
        return drawn

    def _survival(self, hidden: Tensor, anchors: Tensor, tokens: Tensor) -> Tensor:
        """Calibrated survival ``[B, K]`` of every prefix of the drafts; 1 without a head."""
        model = self._model
        if model.confidence_head is None:
            return torch.ones(tokens.shape, device=self._device)
        before = torch.cat([anchors[:, None], tokens[:, :-1]], dim=1)
        embedded = None if model.markov_head is None else model.markov_head.previous(before)
        return self.temperatures.survival(model.confidence_head(hidden, embedded))
