"""One flattened forward: which rows belong to which sequence, and where their KV lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from agentspark.kv.lengths import read_lengths
from agentspark.kv.products import (
    MOST_FLASH_KEYS,
    ONE_SUM_KEYS,
    keys_read,
    products_are_exact,
    products_pay,
)
from agentspark.kv.rows import rows_share, tile_rows
from agentspark.kv.stacking import Stacking
from agentspark.kv.store import READ_GRANULE
from agentspark.kv.tiles import TILE_ROWS, Layout, Part, Tile

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask


@dataclass(slots=True)
class Segment:
    """Consecutive rows of one sequence in a flattened batch.

    ``start``/``rows``: its rows in the batch. ``context``: the sequence's tokens before the first
    row. ``blocks``: its block table, covering at least ``context + rows`` tokens. ``causal``: a row
    sees the rows before it and itself; otherwise all rows of the segment see each other (a
    drafter's block).
    """

    start: int
    rows: int
    context: int
    blocks: Sequence[int]
    causal: bool = True

    @property
    def length(self) -> int:
        """Tokens that the last row may see."""
        return self.context + self.rows


@dataclass(frozen=True, slots=True)
class HeadShape:
    """``group`` query heads of ``dim`` per key head; ``window`` of the last keys seen, if any."""

    group: int
    dim: int
    window: int | None = None


@dataclass(slots=True)
class AttentionBatch:
    """Segments of one forward of ``rows`` rows, padding rows last, and what attention derives.

    ``exact`` asks for row bits that do not depend on the rest of the batch. ``written`` are the
    layers whose keys and values of these rows are in the pool.
    """

    segments: list[Segment]
    rows: int
    block_tokens: int
    scratch_slot: int
    exact: bool
    dtype: torch.dtype
    device: torch.device
    written: set[int] = field(default_factory=set)
    _slots: torch.Tensor | slice | None = None
    _tiles: dict[HeadShape, list[Tile]] = field(default_factory=dict)
    _stackings: dict[tuple[HeadShape, int], Stacking] = field(default_factory=dict)
    _block_masks: dict[int | None, BlockMask] = field(default_factory=dict)

    @property
    def slots(self) -> torch.Tensor | slice:
        """The slots the segments' rows are written to; a slice where they are one run.

        Padding rows, the last of the batch, are written nowhere.
        """
        if self._slots is None:
            self._slots = self._row_slots()
        return self._slots

    def _row_slots(self) -> torch.Tensor | slice:
        slots: list[int] = []
        for segment in self.segments:
            slots.extend(
                token_slots(segment.blocks, segment.context, segment.length, self.block_tokens)
            )
        if slots[-1] - slots[0] == len(slots) - 1 and all(
            after == before + 1 for before, after in pairwise(slots)
        ):
            return slice(slots[0], slots[0] + len(slots))
        return torch.tensor(slots, device=self.device)

    def tiles(self, shape: HeadShape) -> list[Tile]:
        """The tiles that attend, the same for all layers of this shape (CPU)."""
        if shape not in self._tiles:
            layout = Layout(
                block_tokens=self.block_tokens,
                scratch_slot=self.scratch_slot,
                end_slot=self.scratch_slot + READ_GRANULE,
                group=shape.group,
                window=shape.window,
                exact=self.exact,
                dtype=self.dtype,
                device=self.device,
            )
            parts = [part for segment in self.segments for part in self._cut(segment, shape)]
            self._tiles[shape] = layout.tiles(parts, pair=not self.row_by_row(shape))
        return self._tiles[shape]

    def stacking(self, shape: HeadShape, kv_heads: int) -> Stacking:
        """The order of query rows in ``tiles(shape)``, the same for all layers of this shape."""
        key = (shape, kv_heads)
        if key not in self._stackings:
            self._stackings[key] = Stacking.of(
                self.tiles(shape), self.rows, kv_heads, shape.group, self.device
            )
        return self._stackings[key]

    def row_by_row(self, shape: HeadShape) -> bool:
        """Whether every row attends alone: its bits must not and would depend on the others."""
        return self.exact and not rows_share(self.dtype, shape.group, shape.dim)

    def _cut(self, segment: Segment, heads: HeadShape) -> Iterator[Part]:
        most = segment.rows
        if self.exact:
            most = max(tile_rows(self.dtype, heads.group, heads.dim) // heads.group, 1)
        elif most * heads.group > 4 * TILE_ROWS:
            most = max(TILE_ROWS // heads.group, 1)
        for begin, end, long in self._spans(segment, heads):
            for first in range(begin, end, most):
                rows = min(most, end - first)
                seen = segment.context + first + rows if segment.causal else segment.length
                length = keys_read(seen) if long else self._padded(seen, heads)
                yield Part(segment, first, rows, length, long)

    def _spans(self, segment: Segment, heads: HeadShape) -> Iterator[tuple[int, int, bool]]:
        """Rows ``(begin, end)`` that go together, and whether they are attended by products.

        By the keys that each row sees alone: see ``products.py``.
        """
        fits = heads.window is None and products_pay(self.dtype)
        if self.exact:
            fits = fits and products_are_exact(self.dtype, heads.group, heads.dim)
        if not fits or not segment.causal:
            yield 0, segment.rows, fits and segment.length > MOST_FLASH_KEYS
            return
        limits = (MOST_FLASH_KEYS, ONE_SUM_KEYS)
        edges = [min(max(keys - segment.context, 0), segment.rows) for keys in limits]
        yield 0, edges[0], False
        yield edges[0], edges[1], True
        yield edges[1], segment.rows, True

    def _padded(self, length: int, heads: HeadShape) -> int:
        """The keys to read for ``length`` visible ones; as few as keep the bits in exact mode."""
        if not self.exact:
            return length
        return read_lengths(self.dtype, heads.group, heads.dim).padded(length)

    def block_mask(self, window: int | None, slots: int) -> BlockMask:
        """FlexAttention's mask over a pool of ``slots`` slots; the same for all layers."""
        from agentspark.kv.flex import make_block_mask

        if window not in self._block_masks:
            self._block_masks[window] = make_block_mask(self, slots, window)
        return self._block_masks[window]


def token_slots(blocks: Sequence[int], first: int, end: int, block_tokens: int) -> list[int]:
    """Slots of the tokens ``first .. end`` of a sequence with this block table."""
    return [
        blocks[position // block_tokens] * block_tokens + position % block_tokens
        for position in range(first, end)
    ]
