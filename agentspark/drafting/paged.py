"""What drafters of every family share: a model made ready to draft, its context in the pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

from agentspark.drafting.depth import usual_drafts
from agentspark.dspark.model import DraftModel
from agentspark.kv.batch import AttentionBatch, Segment
from agentspark.kv.store import KVStore
from agentspark.models.half import fits_half, half_rows
from agentspark.models.modules import drop_weights
from agentspark.models.prepack import layout_of, prepack

# The drafter's keys and values of its context come without queries, so these two go together.
_SHARED_INPUT = (("k_proj", "v_proj"), ("gate_proj", "up_proj"))

Model = TypeVar("Model", bound=DraftModel)


class PagedDrafter(Generic[Model]):
    """A drafter whose model has the target's matrices; ``Drafter`` says what a family adds."""

    def __init__(self, model: Model, name: str) -> None:
        self.name = name
        self.config = model.config
        self.block_size = model.config.block_size
        assert model.embed is not None, "the target's matrices are attached before drafting"
        assert model.lm_head is not None, "the target's matrices are attached before drafting"
        self._model = model
        self._device, self._dtype = model.embed.device, model.embed.dtype
        self._store: KVStore | None = None
        self._lm_head: torch.nn.Module | None = None
        # Also behind a target in float32: what is proposed is checked, so it may be rounded.
        half = half_rows() is not None and fits_half(model, model.lm_head)
        layout = layout_of(model, half=half)
        if layout is not None:
            self._lm_head = layout(model.lm_head, None)
            # A head of its own would stay in memory beside the packed one.
            model.lm_head = None
            prepack(model, layout, _SHARED_INPUT)

    def bind(self, store: KVStore) -> None:
        """See ``Drafter.bind``."""
        self._store = store

    def usual_drafts(self, requests: int) -> int:
        """See ``Drafter.usual_drafts``."""
        return usual_drafts(requests, self.block_size, self._device)

    def release(self) -> None:
        """See ``Drafter.release``."""
        drop_weights(self._model)
        if self._lm_head is not None:
            drop_weights(self._lm_head)

    def _base_logits(self, hidden: Tensor) -> Tensor:
        """``DraftModel.base_logits``, by the packed head where there is one."""
        if self._lm_head is None:
            return self._model.base_logits(hidden)
        logits: Tensor = self._lm_head(hidden)
        return self._model.capped(logits)

    def _attention(self, segments: Sequence[Segment], rows: int) -> AttentionBatch:
        """What a forward of ``rows`` rows reads of the pool. Drafts need no exact bits."""
        store = self._pool()
        return AttentionBatch(
            segments=list(segments),
            rows=rows,
            block_tokens=store.block_tokens,
            scratch_slot=store.scratch_slot,
            exact=False,
            dtype=self._dtype,
            device=self._device,
        )

    def _pool(self) -> KVStore:
        assert self._store is not None, "the drafter is bound to a pool before it is used"
        return self._store
