"""Paged attention on CUDA: FlexAttention over the pool in place, nothing is gathered.

Queries of all sequences form one flattened batch, keys and values are the whole pool. A block mask
lists, for every tile of query rows, the pool tiles that hold tokens of the tile's sequences; inside
a tile, a mask function maps a pool slot back to its position in the row's sequence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from agentspark.kv.batch import AttentionBatch

# Rows of a query tile and slots of a pool tile: the kernel's own tile sizes.
TILE = 128


@dataclass(frozen=True, slots=True)
class RowMap:
    """Where the rows of a batch stand, on its device.

    ``owner`` ``[rows]``: the segment of each row (padding rows have the number of segments).
    ``first``/``last`` ``[rows]``: the positions a row may see, both included.
    ``logical`` ``[segments + 1, blocks]``: for a pool block, its number in the segment's block
    table, -1 where it is not the segment's.
    """

    owner: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor
    logical: torch.Tensor


def flex_attend(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    batch: AttentionBatch,
    *,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """Attention of ``q [H, rows, D]`` over the pool's ``k, v [Hkv, slots, D]``, as ``q``'s shape.

    Padding rows see nothing and give zeros here.
    """
    mask = batch.block_mask(window, k.shape[1])
    inputs = (q[None], k[None], v[None])
    if q.is_cuda:
        out = _compiled()(*inputs, block_mask=mask, scale=scaling, enable_gqa=True)
    else:
        out = flex_attention(*inputs, block_mask=mask, scale=scaling, enable_gqa=True)
    assert isinstance(out, torch.Tensor)
    return out[0]


@cache
def _compiled() -> Callable[..., torch.Tensor]:
    kernel: Callable[..., torch.Tensor] = torch.compile(flex_attention, dynamic=True)
    return kernel


def map_rows(batch: AttentionBatch, blocks: int, window: int | None) -> RowMap:
    """Describe a batch over a pool of ``blocks`` blocks."""
    count = len(batch.segments)
    owner = torch.full((batch.rows,), count, dtype=torch.int32)
    first = torch.zeros(batch.rows, dtype=torch.int32)
    last = torch.full((batch.rows,), -1, dtype=torch.int32)
    logical = torch.full((count + 1, blocks), -1, dtype=torch.int32)
    for index, segment in enumerate(batch.segments):
        rows = slice(segment.start, segment.start + segment.rows)
        positions = torch.arange(segment.context, segment.length, dtype=torch.int32)
        owner[rows] = index
        last[rows] = positions if segment.causal else segment.length - 1
        if window is not None:
            first[rows] = (positions - window + 1).clamp(min=0)
        needed = -(-segment.length // batch.block_tokens)
        table = torch.tensor(segment.blocks[:needed], dtype=torch.long)
        logical[index, table] = torch.arange(needed, dtype=torch.int32)
    device = batch.device
    return RowMap(owner.to(device), first.to(device), last.to(device), logical.to(device))


def make_block_mask(batch: AttentionBatch, slots: int, window: int | None) -> BlockMask:
    """The block mask of a batch over a pool of ``slots`` slots (slack behind it included)."""
    size = batch.block_tokens
    blocks = -(-slots // size)
    rows = map_rows(batch, blocks, window)

    def visible(
        b: torch.Tensor, h: torch.Tensor, row: torch.Tensor, slot: torch.Tensor
    ) -> torch.Tensor:
        number = rows.logical[rows.owner[row], slot // size]
        position = number * size + slot % size
        return (number >= 0) & (position >= rows.first[row]) & (position <= rows.last[row])

    counts, indices = _tiles(batch, slots)
    return BlockMask.from_kv_blocks(
        counts[None, None],
        indices[None, None],
        BLOCK_SIZE=(TILE, TILE),
        mask_mod=visible,
        seq_lengths=(batch.rows, slots),
    )


def _tiles(batch: AttentionBatch, slots: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pool tiles each query tile has to visit: counts ``[q tiles]``, indices ``[q tiles, all]``."""
    q_tiles, kv_tiles = -(-batch.rows // TILE), -(-slots // TILE)
    counts = torch.zeros(q_tiles, dtype=torch.int32)
    indices = torch.zeros(q_tiles, kv_tiles, dtype=torch.int32)
    visits: list[set[int]] = [set() for _ in range(q_tiles)]
    for segment in batch.segments:
        needed = -(-segment.length // batch.block_tokens)
        tiles = {
            tile
            for block in segment.blocks[:needed]
            for tile in range(
                block * batch.block_tokens // TILE,
                ((block + 1) * batch.block_tokens - 1) // TILE + 1,
            )
        }
        for q_tile in range(segment.start // TILE, (segment.start + segment.rows - 1) // TILE + 1):
            visits[q_tile] |= tiles
    for q_tile, tiles in enumerate(visits):
        ordered = sorted(tiles)
        counts[q_tile] = len(ordered)
        indices[q_tile, : len(ordered)] = torch.tensor(ordered, dtype=torch.int32)
    return counts.to(batch.device), indices.to(batch.device)
