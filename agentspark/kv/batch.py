"""One flattened forward: which rows belong to which sequence, and where their KV lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from agentspark.kv.blocks import block_runs
from agentspark.kv.lengths import read_lengths
from agentspark.kv.stack import FEWEST, Stack, StackShape, make_stack, stack_shape
from agentspark.kv.store import READ_GRANULE

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

# Query rows (heads of a group stacked) of one exact tile. The CPU kernel's query block is 32 rows
# for inputs under 192 rows: three blocks, all of the smallest kind.
TILE_ROWS = 96
# Up to this many runs of blocks are joined as slices, which is faster than gathering slots.
_MOST_RUNS = 8
MIN_ROWS = 4
# Where bits may differ, stacked segments' lengths are rounded up to whole ones of these.
_STACK_GRANULE = 64


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
class Tile:
    """Rows that attend together, and what they read.

    ``begin``/``rows``: rows of the batch. ``place``: the runs of slots their keys lie in (a single
    one is read without a copy), or slot indices to gather by where there are many. ``extra``: zero
    rows to append to the stacked queries. ``mask``: additive, ``[1, 1, group * rows + extra,
    keys]``, or ``None`` where every row may see every key.
    """

    begin: int
    rows: int
    place: list[slice] | torch.Tensor
    extra: int
    mask: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class HeadShape:
    """``group`` query heads of ``dim`` per key head; ``window`` of the last keys seen, if any."""

    group: int
    dim: int
    window: int | None = None


@dataclass(slots=True)
class AttentionBatch:
    """Segments of one forward of ``rows`` rows, padding rows last, and what attention derives.

    ``exact`` asks for row bits that do not depend on the rest of the batch.
    """

    segments: list[Segment]
    rows: int
    block_tokens: int
    scratch_slot: int
    exact: bool
    dtype: torch.dtype
    device: torch.device
    _slots: torch.Tensor | slice | None = None
    _tiles: dict[HeadShape, list[Tile]] = field(default_factory=dict)
    _stacks: dict[HeadShape, list[Stack]] = field(default_factory=dict)
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
        """Tiles of what is not in a stack."""
        self._divide(shape)
        return self._tiles[shape]

    def stacks(self, shape: HeadShape) -> list[Stack]:
        """Segments that attend together."""
        self._divide(shape)
        return self._stacks[shape]

    def _padded(self, length: int, heads: HeadShape) -> int:
        """The keys to read for ``length`` visible ones; as few as keep the bits in exact mode."""
        if not self.exact:
            return length
        return read_lengths(self.dtype, heads.group, heads.dim).padded(length)

    def _divide(self, heads: HeadShape) -> None:
        """Divide the segments among stacks and tiles, once for all layers."""
        if heads in self._tiles:
            return
        alike: dict[StackShape | None, list[Segment]] = {}
        granule = READ_GRANULE if self.exact else _STACK_GRANULE
        # In exact float32 every row attends alone.
        apart = self.exact and self.dtype == torch.float32
        for segment in self.segments:
            shape = None if apart else stack_shape(segment, heads.group, TILE_ROWS, granule)
            alike.setdefault(shape, []).append(segment)
        self._tiles[heads], self._stacks[heads] = [], []
        for shape, segments in alike.items():
            if shape is None or len(segments) < FEWEST:
                for segment in segments:
                    self._tiles[heads].extend(self._cut(segment, heads))
                continue
            length = max(self._padded(segment.length, heads) for segment in segments)
            stack = make_stack(
                replace(shape, length=min(length, shape.length)),
                segments,
                group=heads.group,
                extra=-(heads.group * shape.rows) % MIN_ROWS if self.exact else 0,
                exact=self.exact,
                window=heads.window,
                block_tokens=self.block_tokens,
                scratch_slot=self.scratch_slot,
                dtype=self.dtype,
            )
            self._stacks[heads].append(stack)

    def _cut(self, segment: Segment, heads: HeadShape) -> list[Tile]:
        group = heads.group
        most = segment.rows
        if self.exact or most * group > 4 * TILE_ROWS:
            most = max(TILE_ROWS // group, 1)
        tiles = []
        for first in range(0, segment.rows, most):
            rows = min(most, segment.rows - first)
            seen = segment.context + first + rows if segment.causal else segment.length
            length = self._padded(seen, heads)
            extra = -(group * rows) % MIN_ROWS if self.exact else 0
            mask = self._visible(segment, first, rows, length, heads.window)
            if mask is not None:
                mask = torch.nn.functional.pad(mask.repeat(group, 1), (0, 0, 0, extra))[None, None]
            place = self._find(segment, length)
            tiles.append(Tile(segment.start + first, rows, place, extra, mask))
        return tiles

    def _find(self, segment: Segment, length: int) -> list[slice] | torch.Tensor:
        """Where a segment's first ``length`` tokens lie (``length`` may overshoot its own)."""
        size = self.block_tokens
        blocks = segment.blocks[: -(-min(length, segment.length) // size)]
        runs = [slice(start * size, (start + count) * size) for start, count in block_runs(blocks)]
        if len(runs) <= _MOST_RUNS:
            # What is read behind the last run to fill up is masked.
            before = sum(run.stop - run.start for run in runs[:-1])
            runs[-1] = slice(runs[-1].start, runs[-1].start + length - before)
            return runs
        table = torch.tensor(blocks, device=self.device)
        slots = (table[:, None] * size + torch.arange(size, device=self.device)).flatten()
        if slots.numel() < length:
            pad = slots.new_full((length - slots.numel(),), self.scratch_slot)
            slots = torch.cat([slots, pad])
        return slots[:length]

    def _visible(
        self, segment: Segment, first: int, rows: int, length: int, window: int | None
    ) -> torch.Tensor | None:
        """Additive mask ``[rows, length]`` of a segment's rows from ``first`` on."""
        alone = rows == segment.rows == 1 and window is None
        if alone and length == segment.context + 1 and not self.exact:
            # Without a mask the kernel takes another path, so exact mode always brings one.
            return None
        positions = torch.arange(
            segment.context + first, segment.context + first + rows, device=self.device
        )[:, None]
        keys = torch.arange(length, device=self.device)[None]
        last = positions if segment.causal else torch.full_like(positions, segment.length - 1)
        hidden = keys > last
        if window is not None:
            hidden |= keys <= positions - window
        elif not segment.causal and length == segment.length:
            return None
        mask = torch.zeros(rows, length, dtype=self.dtype, device=self.device)
        return mask.masked_fill_(hidden, float("-inf"))

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
