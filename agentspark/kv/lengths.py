"""How many keys exact attention reads: few enough to be fast, padded so that bits stay the same.

The CPU's flash kernel walks over keys in blocks of 512. Keys that are masked add exact zeros, yet
the matrix product over a block sums in another order for some block lengths, so a row's bits depend
on how far its keys are padded. Whole blocks always agree; which shorter last blocks agree with them
is a property of the processor's matrix kernels, and is found out by asking them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn.functional import scaled_dot_product_attention

from agentspark.kv.rows import probe_heads, rows_share
from agentspark.kv.store import READ_GRANULE
from agentspark.kv.tiles import MIN_ROWS

_STEP = 64
# Stacked query rows: of one row, of a few, and up to those of a whole tile of either kind.
_STACKED_ROWS = (4, 12, 28, 96, 192)
# Every number of rows in the first key block and behind it, three times. Where a length is wrong,
# about one trial in three shows it.
_TRIALS = 6 * len(_STACKED_ROWS)


@dataclass(frozen=True, slots=True)
class ReadLengths:
    """Lengths of a last, partial key block whose bits equal those of a whole one; ascending."""

    partial: tuple[int, ...] = ()

    def padded(self, length: int) -> int:
        """The number of keys to read for ``length`` visible ones."""
        whole, rest = divmod(length, READ_GRANULE)
        if rest == 0:
            return length
        last = next((size for size in self.partial if size >= rest), READ_GRANULE)
        return whole * READ_GRANULE + last


@lru_cache(maxsize=64)
def read_lengths(dtype: torch.dtype, group: int, dim: int) -> ReadLengths:
    """Which partial lengths the kernel treats as whole blocks, for heads of ``dim``.

    ``group`` query heads share a key head. Takes a tenth of a second, for wide heads some, once per
    process. Where rows are attended one by one, whole blocks are read.
    """
    if not rows_share(dtype, group, dim):
        return ReadLengths()
    generator = torch.Generator().manual_seed(0)
    sizes = range(_STEP, READ_GRANULE, _STEP)
    return ReadLengths(tuple(size for size in sizes if _agrees(dtype, group, dim, size, generator)))


def _agrees(
    dtype: torch.dtype, group: int, dim: int, size: int, generator: torch.Generator
) -> bool:
    """Whether reading ``size`` keys of the last block gives the bits of reading all of it."""

    def normal(count: int) -> torch.Tensor:
        return torch.randn((1, probe_heads(dtype), count, dim), generator=generator).to(dtype)

    keys, values = normal(2 * READ_GRANULE), normal(2 * READ_GRANULE)
    for trial in range(_TRIALS):
        turn, which = divmod(trial, len(_STACKED_ROWS))
        before = READ_GRANULE * (turn % 2)
        # Most trials see nearly all of the keys, where a different order of sums shows best.
        fewer = int(torch.randint(size if turn < 2 else _STEP, (), generator=generator))
        length = before + size - fewer
        rows = min(max(_STACKED_ROWS[which] // group, 1), length)
        stacked = -(-rows * group // MIN_ROWS) * MIN_ROWS
        last = length - rows + (torch.arange(stacked) // group).clamp(max=rows - 1)
        hidden = torch.arange(before + READ_GRANULE) > last[:, None]
        mask = torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, float("-inf"))
        query = 2 * normal(stacked)
        short, whole = (
            scaled_dot_product_attention(
                query, keys[:, :, :end], values[:, :, :end], mask[None, None, :, :end]
            )
            for end in (before + size, before + READ_GRANULE)
        )
        if not torch.equal(short, whole):
            return False
    return True
