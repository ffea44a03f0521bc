"""Many short segments attending in one kernel call.

A call for each sequence has a price of its own (about 50 microseconds, thirty layers a step), and
with few key heads it leaves cores idle. From a handful of sequences on it is cheaper to gather
their keys and values into one batch. In exact mode the bits stay what they are: the kernel treats
every entry of a batch by itself, and keys are read in the same whole granules.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import pad, scaled_dot_product_attention

if TYPE_CHECKING:
    from agentspark.kv.batch import Segment
    from agentspark.kv.store import LayerKV

# Fewer segments of one shape than this attend one by one, on views.
FEWEST = 6
# Longer segments (prefill chunks) fill the kernel by themselves.
_MOST_ROWS = 16


@dataclass(frozen=True, slots=True)
class StackShape:
    """What segments must share: ``rows`` and ``length`` are rounded up."""

    causal: bool
    rows: int
    length: int


@dataclass(frozen=True, slots=True)
class Stack:
    """``B`` segments of one shape.

    ``queries`` ``[B * rows]`` are rows of the batch (a segment's last one again where it has fewer
    than ``rows``); ``kept`` says which of them count and ``targets`` which rows of the batch they
    are. ``slots`` ``[B * length]`` is where the keys lie, ``mask`` ``[B, 1, group * rows + extra,
    length]`` is additive. ``exact`` asks for the bits that a segment has alone.
    """

    shape: StackShape
    queries: torch.Tensor
    kept: torch.Tensor
    targets: torch.Tensor
    slots: torch.Tensor
    mask: torch.Tensor
    extra: int
    exact: bool

    def attend(
        self, q: torch.Tensor, layer: LayerKV, scaling: float | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attend grouped queries ``[kv_heads, group, batch rows, dim]``.

        Returns ``targets`` and their results ``[kv_heads, group, targets, dim]``.
        """
        kv_heads, group, _, dim = q.shape
        rows, length = self.shape.rows, self.shape.length
        count = self.queries.numel() // rows
        own = q.index_select(2, self.queries).view(kv_heads, group, count, rows, dim)
        own = own.permute(2, 0, 1, 3, 4).reshape(count, kv_heads, group * rows, dim)
        if self.extra:
            own = pad(own, (0, 0, 0, self.extra))
        k, v = (
            cache.index_select(1, self.slots).view(kv_heads, count, length, dim).transpose(0, 1)
            for cache in (layer.k, layer.v)
        )
        kernel = _fixed if self.exact else _fast
        out = kernel(own, k, v, self.mask, scaling)
        out = out[:, :, : group * rows].reshape(count, kv_heads, group, rows, dim)
        flat = out.permute(1, 2, 0, 3, 4).reshape(kv_heads, group, count * rows, dim)
        return self.targets, flat.index_select(2, self.kept)


def stack_shape(segment: Segment, group: int, most_stacked: int, granule: int) -> StackShape | None:
    """The shape a segment can be stacked in, or ``None`` where it has too many rows.

    ``most_stacked`` bounds the stacked query rows; keys are read in whole ``granule``s.
    """
    rows = 1 << (segment.rows - 1).bit_length()
    if rows > _MOST_ROWS or rows * group > most_stacked:
        return None
    return StackShape(segment.causal, rows, -(-segment.length // granule) * granule)


def make_stack(
    shape: StackShape,
    segments: Sequence[Segment],
    *,
    group: int,
    extra: int,
    exact: bool,
    window: int | None,
    block_tokens: int,
    scratch_slot: int,
    dtype: torch.dtype,
) -> Stack:
    """Stack segments of one shape; what is the same for all layers is computed here."""
    rows, length = shape.rows, shape.length
    counts = torch.tensor([s.rows for s in segments])
    starts = torch.tensor([s.start for s in segments])
    contexts = torch.tensor([s.context for s in segments])
    step = torch.arange(rows)
    within = torch.minimum(step[None], counts[:, None] - 1)
    queries = (starts[:, None] + within).flatten()
    kept = (step[None] < counts[:, None]).flatten().nonzero()[:, 0]
    keys = torch.arange(length)
    positions = contexts[:, None] + within
    last = positions if shape.causal else (contexts + counts - 1)[:, None].expand_as(positions)
    hidden = keys > last[:, :, None]
    if window is not None:
        hidden |= keys <= positions[:, :, None] - window
    mask = torch.zeros(len(segments), rows, length, dtype=dtype)
    mask = mask.masked_fill_(hidden, float("-inf")).repeat(1, group, 1)
    return Stack(
        shape=shape,
        queries=queries,
        kept=kept,
        targets=queries[kept],
        slots=_slots(segments, length, block_tokens, scratch_slot),
        mask=pad(mask, (0, 0, 0, extra))[:, None],
        extra=extra,
        exact=exact,
    )


def _fixed(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """The kernel that single segments use, ``[B, kv_heads, queries, dim]``."""
    return scaled_dot_product_attention(q, k, v, mask, scale=scaling)


def _fast(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """The same by plain products, a third of the kernel's time for a few queries per entry."""
    count, heads, queries, dim = q.shape
    scale = 1.0 / math.sqrt(dim) if scaling is None else scaling
    hidden = mask.expand(count, heads, queries, -1).reshape(count * heads, queries, -1)
    keys = k.reshape(count * heads, -1, dim).transpose(1, 2)
    scores = torch.baddbmm(hidden, q.reshape(count * heads, queries, dim), keys, alpha=scale)
    out = torch.bmm(torch.softmax(scores, dim=-1), v.reshape(count * heads, -1, dim))
    return out.view(q.shape)


def _slots(
    segments: Sequence[Segment], length: int, block_tokens: int, scratch_slot: int
) -> torch.Tensor:
    """Slots of every segment's first ``length`` tokens; what lies past its own is scratch."""
    blocks = -(-length // block_tokens)
    table = torch.full((len(segments), blocks), -1)
    for row, segment in zip(table, segments, strict=True):
        own = segment.blocks[: min(blocks, -(-segment.length // block_tokens))]
        row[: len(own)] = torch.tensor(own)
    slots = table[:, :, None] * block_tokens + torch.arange(block_tokens)
    slots.masked_fill_(table[:, :, None] < 0, scratch_slot)
    return slots.flatten(1)[:, :length].flatten()
