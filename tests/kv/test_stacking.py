"""Query rows go to their tiles and come back, whatever the tiles."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from agentspark.kv.stacking import Stacking
from agentspark.kv.tiles import Strided, Tile

DIM = 4


@st.composite
def cut_rows(draw: st.DrawFn) -> tuple[list[Tile], int]:
    """All rows of a batch in tiles of one part or two, in any order, and rows of padding."""
    counts = draw(st.lists(st.integers(1, 5), min_size=1, max_size=8))
    begins = [sum(counts[:at]) for at in range(len(counts))]
    parts = draw(st.permutations(list(zip(begins, counts, strict=True))))
    tiles = []
    while parts:
        size = min(draw(st.integers(1, 2)), len(parts))
        own, parts = parts[:size], parts[size:]
        tiles.append(
            Tile(
                begins=tuple(begin for begin, _ in own),
                counts=tuple(count for _, count in own),
                rows=max(count for _, count in own),
                extra=draw(st.integers(0, 3)),
                place=Strided(0, 0, 1),
                mask=None,
            )
        )
    return tiles, sum(counts) + draw(st.integers(0, 3))


@given(cut=cut_rows(), kv_heads=st.integers(1, 3), group=st.integers(1, 3))
def test_rows_come_back_where_they_were(
    cut: tuple[list[Tile], int], kv_heads: int, group: int
) -> None:
    tiles, rows = cut
    q = torch.randn(kv_heads * group, rows, DIM)
    stacking = Stacking.of(tiles, rows, kv_heads, group, q.device)
    stacked = stacking.stack(q)
    parts = [stacking.part(stacked, index, tile, group) for index, tile in enumerate(tiles)]
    for tile, part in zip(tiles, parts, strict=True):
        assert part.shape == (len(tile.begins), kv_heads, tile.rows * group + tile.extra, DIM)
        for begin, count, own in zip(tile.begins, tile.counts, part, strict=True):
            heads = q[:, begin : begin + count].view(kv_heads, group, count, DIM)
            assert torch.equal(own[:, : count * group], heads.transpose(1, 2).flatten(1, 2))
    known = sum(sum(tile.counts) for tile in tiles)
    back = stacking.unstack(parts)
    assert back.shape == q.shape
    assert torch.equal(back[:, :known], q[:, :known])
    assert bool(back.isfinite().all())
