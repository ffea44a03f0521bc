"""Drafting one token after the other (Eagle3, MTP): batched, its context in the paged pool."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agentspark.drafting.drafter import ContextRows, DraftRequest
from agentspark.drafting.drawing import BlockDraw
from agentspark.drafting.paged import PagedDrafter
from agentspark.drafting.proposal import Proposal
from agentspark.dspark.model import ChainModel
from agentspark.kv.attention import attend
from agentspark.kv.batch import Segment, token_slots
from agentspark.kv.store import LayerKV, LayerShape

# Places in ``KVStore.drafter``.
_ATTENTION, _FEATURES = 0, 1


class ChainDrafter(PagedDrafter[ChainModel]):
    """A ``Drafter`` of the families ``eagle3`` and ``mtp``.

    Beside the layer's keys and values it keeps every token's feature (as the "keys" and "values"
    of a layer of one head, half in each): the next token's entry is made from it, and after a
    prefix hit the target has not computed it again.
    """

    confident = False

    @property
    def kv_shapes(self) -> list[LayerShape]:
        """Keys and values of the layer, and the features."""
        own = self.config
        return [
            LayerShape(own.num_key_value_heads, own.head_dim),
            LayerShape(1, own.hidden_size // 2),
        ]

    @torch.inference_mode()
    def append(self, features: Tensor, rows: ContextRows) -> None:
        """See ``Drafter.append``."""
        store, backbone = self._pool(), self._model.backbone
        _keep(store.drafter[_FEATURES], rows.slots, backbone.features(features))
        before = _kept(store.drafter[_FEATURES], rows.before) * (rows.positions > 0)[:, None]
        embedded = self._model.token_inputs(rows.tokens)
        k, v = backbone.key_value(embedded, before, rows.positions)
        store.drafter[_ATTENTION].write(rows.slots, k, v)

    @torch.inference_mode()
    def propose(
        self, requests: Sequence[DraftRequest], drafts: int | None = None
    ) -> list[Proposal]:
        """A chain of drafts for each request, at most ``drafts``."""
        steps = self.block_size if drafts is None else drafts
        model, drawn = self._model, BlockDraw(self._model, requests)
        feature = self._first_features(requests)
        tokens = torch.tensor([request.anchor for request in requests], device=self._device)
        for k in range(steps):
            feature = self._step(requests, k, model.token_inputs(tokens), feature)
            tokens = drawn.choose(self._base_logits(model.backbone.hidden(feature)))
        unknown = [[1.0] * steps] * len(requests)
        return drawn.proposals(unknown, self.config.family)

    def _first_features(self, requests: Sequence[DraftRequest]) -> Tensor:
        """The features ``[B, d]`` of the positions before the anchors."""
        store = self._pool()
        size = store.block_tokens
        slots = [
            token_slots(r.blocks, r.context - 1, r.context, size)[0] if r.context else 0
            for r in requests
        ]
        known = torch.tensor([[r.context > 0] for r in requests], device=self._device)
        return _kept(store.drafter[_FEATURES], torch.tensor(slots, device=self._device)) * known

    def _step(
        self, requests: Sequence[DraftRequest], k: int, embedded: Tensor, before: Tensor
    ) -> Tensor:
        """Step ``k`` of all chains: features ``[B, d]`` of the tokens behind ``k`` drafts."""
        layer = self._pool().drafter[_ATTENTION]
        segments = [Segment(i, 1, r.context + k, r.blocks) for i, r in enumerate(requests)]
        batch = self._attention(segments, len(requests))

        def paged(q: Tensor, keys: Tensor, values: Tensor, _: int, /) -> Tensor:
            layer.write(batch.slots, keys, values)
            return attend(q, layer, batch)

        positions = torch.tensor([r.context + k for r in requests], device=self._device)
        return self._model.backbone.step(embedded, before, positions, paged)


def _keep(layer: LayerKV, slots: Tensor, features: Tensor) -> None:
    first, second = features.chunk(2, dim=-1)
    layer.write(slots, first[None], second[None])


def _kept(layer: LayerKV, slots: Tensor) -> Tensor:
    return torch.cat((layer.k[0, slots], layer.v[0, slots]), dim=-1)
