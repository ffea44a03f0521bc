"""Query rows in the order in which tiles attend, and results in the order of the batch again.

The kernel shares a key head's keys among the query heads of its group where these are rows of one
head. A tile's rows, its padding and the heads of a group come side by side by one gather, for all
tiles at once, and go back by another; what a tile reads is then one view.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from agentspark.kv.tiles import Tile


@dataclass(frozen=True, slots=True)
class Stacking:
    """The order of a batch's ``rows`` rows, each of ``kv_heads * group`` heads, in its tiles.

    ``taken [kv_heads * size]``: the query ``row * heads + head`` that stands at every place of
    ``[kv_heads, size]``. ``given [rows * heads]``: the place of ``[size, kv_heads]`` where the
    result of each is. ``starts``: the first place of each tile, whose parts follow one another.
    ``size``: the places of one key head; ``heads``: the query heads of a row.
    """

    taken: torch.Tensor
    given: torch.Tensor
    starts: tuple[int, ...]
    size: int
    heads: int

    @classmethod
    def of(
        cls, tiles: Sequence[Tile], rows: int, kv_heads: int, group: int, device: torch.device
    ) -> Stacking:
        """Return the order for ``tiles``; rows that are in none get any row's result."""
        heads = kv_heads * group
        taken: list[int] = []
        place = [0] * (rows * group)
        starts = []
        for tile in tiles:
            starts.append(len(taken))
            for begin, count in zip(tile.begins, tile.counts, strict=True):
                first = len(taken)
                place[begin * group : (begin + count) * group] = range(first, first + count * group)
                # Filled up by the part's last row: it is there, so its numbers are finite.
                for row in range(tile.rows):
                    query = (begin + min(row, count - 1)) * heads
                    taken.extend(range(query, query + group))
                taken += [taken[-1]] * tile.extra
        each = torch.arange(kv_heads, device=device)
        queries = torch.tensor(taken, device=device)
        places = torch.tensor(place, device=device).view(rows, 1, group)
        return cls(
            taken=(each[:, None] * group + queries).flatten(),
            given=(places * kv_heads + each[:, None]).flatten(),
            starts=tuple(starts),
            size=len(taken),
            heads=heads,
        )

    def stack(self, q: torch.Tensor) -> torch.Tensor:
        """Return ``[kv_heads, size, dim]`` of ``q [heads, rows, dim]``."""
        flat = q.transpose(0, 1).reshape(-1, q.shape[-1])
        return flat.index_select(0, self.taken).view(-1, self.size, q.shape[-1])

    def part(self, stacked: torch.Tensor, index: int, tile: Tile, group: int) -> torch.Tensor:
        """Tile ``index`` of what ``stack`` returned, ``[parts, kv_heads, places, dim]``, a view."""
        kv_heads, size, dim = stacked.shape
        places = tile.rows * group + tile.extra
        return stacked.as_strided(
            (len(tile.begins), kv_heads, places, dim),
            (places * dim, size * dim, dim, 1),
            self.starts[index] * dim,
        )

    def unstack(self, results: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return ``[heads, rows, dim]`` of the tiles' results, each as ``part`` gave its query."""
        dim = results[0].shape[-1]
        flat = [result.transpose(1, 2).reshape(-1, dim) for result in results]
        whole = flat[0] if len(flat) == 1 else torch.cat(flat)
        return whole.index_select(0, self.given).view(-1, self.heads, dim).transpose(0, 1)
