"""How the rows of a batch are divided for the CPU's kernel: into tiles of one sequence, or of two.

A call has a price of its own (tens of microseconds, thirty layers a step), and a model with few key
heads leaves a core idle in it. Two sequences whose keys lie in one run each are two entries of a
strided view of the pool, so they share a call and nothing is copied. Gathering more of them into a
batch costs more than it saves: keys of all layers do not fit into a cache, and a copy reads and
writes them once more than the kernel does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from agentspark.kv.blocks import block_runs
from agentspark.kv.products import rows_computed

if TYPE_CHECKING:
    from agentspark.kv.batch import Segment

# Query rows (heads of a group stacked) of one exact tile, where no more are known to keep the bits
# (``rows.py``). The CPU kernel's query block is 32 rows for inputs under 192 rows: three blocks,
# all of the smallest kind.
TILE_ROWS = 96
MIN_ROWS = 4
# Up to this many runs of blocks are joined as slices, which is faster than gathering slots.
_MOST_RUNS = 8
# Longer parts (prefill chunks) fill the kernel by themselves.
_MOST_PAIRED_ROWS = 16
# Per key, a call works as long as for this many query rows before the first row is done.
_KEY_WORK = 8
# Work that a pair may add by filling up its smaller part: the call that it saves, and the core that
# would have waited in both, are worth more.
_WASTE = 1.5


@dataclass(frozen=True, slots=True)
class Strided:
    """Keys in one run of ``length`` slots from ``first``; a second part's lie ``step`` further."""

    first: int
    step: int
    length: int


@dataclass(frozen=True, slots=True)
class Part:
    """``rows`` rows of ``segment`` from its row ``first`` on, and the keys to read for them.

    ``long`` ones are attended by products (``products.py``).
    """

    segment: Segment
    first: int
    rows: int
    length: int
    long: bool = False

    @property
    def begin(self) -> int:
        """The part's first row in the batch."""
        return self.segment.start + self.first


@dataclass(frozen=True, slots=True)
class Tile:
    """What attends in one call: rows of one sequence, or of two.

    ``begins``/``counts``: each part's rows in the batch. ``rows``: the rows computed for every
    part, of which a smaller one's last count for nothing. ``extra``: stacked rows beyond them.
    ``place``: where the keys lie; runs are joined, and slot indices gather them where there are
    many. ``mask``: additive, ``[parts, 1, rows * group + extra, keys]``, or ``None`` where every
    row may see every key; of a ``long`` tile ``[rows * group, masked]``, of its last keys alone.
    Stacked rows go row by row, the heads of a group side by side.
    """

    begins: tuple[int, ...]
    counts: tuple[int, ...]
    rows: int
    extra: int
    place: Strided | list[slice] | torch.Tensor
    mask: torch.Tensor | None
    long: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """What all tiles of a batch share: how blocks lie, and how far a read may go."""

    block_tokens: int
    scratch_slot: int
    end_slot: int
    group: int
    window: int | None
    exact: bool
    dtype: torch.dtype
    device: torch.device

    def tiles(self, parts: Sequence[Part], *, pair: bool) -> list[Tile]:
        """Return the tiles of ``parts``, two in one where that is faster (and ``pair`` allows)."""
        single: list[Part] = []
        paired: list[tuple[Part, Part]] = []
        left: Part | None = None
        for part in sorted(parts, key=lambda part: self._work(part.length, part.rows)):
            if not (pair and self._may_pair(part)):
                single.append(part)
            elif left is not None and self._fit(left, part):
                paired.append((left, part))
                left = None
            else:
                single += [] if left is None else [left]
                left = part
        single += [] if left is None else [left]
        return [*map(self._alone, single), *(self._together(a, b) for a, b in paired)]

    def _may_pair(self, part: Part) -> bool:
        return not part.long and part.rows <= _MOST_PAIRED_ROWS and len(self._runs(part)) == 1

    def _work(self, length: int, rows: int) -> int:
        return length * (rows * self.group + _KEY_WORK)

    def _fit(self, a: Part, b: Part) -> bool:
        """Whether two parts are less work together than apart, and both reads stay inside."""
        rows, length = max(a.rows, b.rows), max(a.length, b.length)
        if rows * self.group > TILE_ROWS:
            return False
        if max(self._first(a), self._first(b)) + length > self.end_slot:
            return False
        apart = self._work(a.length, a.rows) + self._work(b.length, b.rows)
        return 2 * self._work(length, rows) <= _WASTE * apart

    def _runs(self, part: Part) -> list[slice]:
        """The runs of slots that the part's keys lie in (more may be read than are its own)."""
        size, segment = self.block_tokens, part.segment
        blocks = segment.blocks[: -(-min(part.length, segment.length) // size)]
        runs = [slice(start * size, (start + count) * size) for start, count in block_runs(blocks)]
        # What is read behind the last run to fill up is masked.
        before = sum(run.stop - run.start for run in runs[:-1])
        runs[-1] = slice(runs[-1].start, runs[-1].start + part.length - before)
        return runs

    def _first(self, part: Part) -> int:
        return int(part.segment.blocks[0]) * self.block_tokens

    def _alone(self, part: Part) -> Tile:
        place = self._place(part)
        if part.long:
            rows = rows_computed(part.rows)
            last_keys = self._last_keys(part, rows)
            return Tile((part.begin,), (part.rows,), rows, 0, place, last_keys, long=True)
        mask = None if self._sees_all(part) else self._mask((part,), part.rows, part.length)
        return Tile((part.begin,), (part.rows,), part.rows, self._extra(part.rows), place, mask)

    def _place(self, part: Part) -> Strided | list[slice] | torch.Tensor:
        runs = self._runs(part)
        if len(runs) == 1:
            return Strided(self._first(part), 0, part.length)
        return self._slots(part) if len(runs) > _MOST_RUNS else runs

    def _together(self, a: Part, b: Part) -> Tile:
        rows, length = max(a.rows, b.rows), max(a.length, b.length)
        # A view's strides are not negative.
        first, second = sorted((a, b), key=self._first)
        start, end = self._first(first), self._first(second)
        return Tile(
            (first.begin, second.begin),
            (first.rows, second.rows),
            rows,
            self._extra(rows),
            Strided(start, end - start, length),
            self._mask((first, second), rows, length),
        )

    def _extra(self, rows: int) -> int:
        return -(self.group * rows) % MIN_ROWS if self.exact else 0

    def _slots(self, part: Part) -> torch.Tensor:
        size, segment = self.block_tokens, part.segment
        blocks = segment.blocks[: -(-min(part.length, segment.length) // size)]
        table = torch.tensor(blocks, device=self.device)
        slots = (table[:, None] * size + torch.arange(size, device=self.device)).flatten()
        missing = max(part.length - slots.numel(), 0)
        return torch.cat([slots, slots.new_full((missing,), self.scratch_slot)])[: part.length]

    def _sees_all(self, part: Part) -> bool:
        """Whether no mask is needed; exact mode has one, as the kernel's path depends on it."""
        if self.exact or self.window is not None or part.length != part.segment.length:
            return False
        return not part.segment.causal or part.segment.rows == 1

    def _mask(self, parts: Sequence[Part], rows: int, length: int) -> torch.Tensor:
        """Additive mask ``[parts, 1, rows * group + extra, length]``.

        Rows that are not a part's own see what its last one sees.
        """
        seen = torch.tensor([_positions(p, rows) for p in parts], device=self.device)
        last = seen.clone()
        for index, part in enumerate(parts):
            if not part.segment.causal:
                last[index] = part.segment.length - 1
        keys = torch.arange(length, device=self.device)
        hidden = keys > last[:, :, None]
        if self.window is not None:
            hidden |= keys <= seen[:, :, None] - self.window
        mask = torch.zeros(hidden.shape, dtype=self.dtype, device=self.device)
        mask = mask.masked_fill_(hidden, float("-inf")).repeat_interleave(self.group, dim=1)
        return torch.nn.functional.pad(mask, (0, 0, 0, self._extra(rows)))[:, None]

    def _last_keys(self, part: Part, rows: int) -> torch.Tensor:
        """Additive mask ``[rows * group, masked]`` of the keys that not every row sees."""
        last = torch.tensor(_positions(part, rows), device=self.device)
        if not part.segment.causal:
            last.fill_(part.segment.length - 1)
        keys = torch.arange(int(last[0]) + 1, part.length, device=self.device)
        mask = torch.zeros((rows, len(keys)), dtype=self.dtype, device=self.device)
        mask.masked_fill_(keys > last[:, None], float("-inf"))
        return mask.repeat_interleave(self.group, dim=0)


def _positions(part: Part, rows: int) -> list[int]:
    """Where in the sequence ``rows`` rows of a part stand; beyond its own, its last one."""
    first = part.segment.context + part.first
    return [first + min(row, part.rows - 1) for row in range(rows)]
