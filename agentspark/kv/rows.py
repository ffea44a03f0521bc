"""How many query rows an exact tile holds: as many as the kernel treats like a few.

The CPU's flash kernel works on blocks of 32 query rows for inputs of fewer than 192 rows and on
blocks of 64 from there on, which takes about a seventh less time at a long prompt. Some processors'
matrix kernels treat a row by its place among the others (in float32, and in bfloat16 where they
have no instructions for it), so that every row has to be attended alone, at twice the time and
more. A row's bits must not depend on any of that, and whether
they do is a property of the kernels, so it is found out by asking them.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch.nn.functional import scaled_dot_product_attention

from agentspark.kv.store import READ_GRANULE
from agentspark.kv.tiles import MIN_ROWS, TILE_ROWS

# The fewest rows of the kernel's larger blocks.
LONG_TILE_ROWS = 192
_TRIALS = 12
_SHARING_TRIALS = 48


def probe_heads(dtype: torch.dtype) -> int:
    """How many key heads show whether bits agree.

    In float32 another order of sums changes most numbers of every head; rounding to bfloat16 hides
    nearly all of that.
    """
    return 1 if dtype == torch.float32 else 4


@lru_cache(maxsize=64)
def rows_share(dtype: torch.dtype, group: int, dim: int) -> bool:
    """Whether rows of one tile have the bits that each has in any other, alone too.

    ``group`` query heads share a key head of ``dim``. Takes some tens of milliseconds, a second
    where the processor has no instructions for ``dtype``, once per process.
    """
    generator = torch.Generator().manual_seed(0)
    return all(_shares(dtype, group, dim, trial, generator) for trial in range(_SHARING_TRIALS))


def _shares(
    dtype: torch.dtype, group: int, dim: int, trial: int, generator: torch.Generator
) -> bool:
    """Whether some rows of a tile have the same bits without the others."""
    rows = max(TILE_ROWS // group, 2)
    query, keys, values, mask = _tile(dtype, group, dim, rows, 1 + trial % 2, generator)
    count = 1 if trial % 4 == 0 else int(torch.randint(1, rows, (), generator=generator))
    first = int(torch.randint(rows - count + 1, (), generator=generator))
    places = torch.arange(first * group, (first + count) * group)
    filled = torch.cat([places, places[-1:].expand(-len(places) % MIN_ROWS)])
    whole = scaled_dot_product_attention(query, keys, values, mask)[:, :, places]
    part = scaled_dot_product_attention(query[:, :, filled], keys, values, mask[:, :, filled])
    return torch.equal(part[:, :, : len(places)], whole)


@lru_cache(maxsize=64)
def tile_rows(dtype: torch.dtype, group: int, dim: int) -> int:
    """The stacked query rows (heads of a group side by side) of an exact tile, at most.

    ``LONG_TILE_ROWS`` where a row has the bits there that it has in a tile of ``TILE_ROWS``. Takes
    some tens of milliseconds, once per process.
    """
    if LONG_TILE_ROWS % group or not rows_share(dtype, group, dim):
        return TILE_ROWS  # a tile that is not full would have small blocks again
    generator = torch.Generator().manual_seed(0)
    agree = (_agrees(dtype, group, dim, trial, generator) for trial in range(_TRIALS))
    return LONG_TILE_ROWS if all(agree) else TILE_ROWS


def _agrees(
    dtype: torch.dtype, group: int, dim: int, trial: int, generator: torch.Generator
) -> bool:
    """Whether one tile of the longer kind gives the bits of shorter ones."""
    rows, short = LONG_TILE_ROWS // group, max(TILE_ROWS // group, 1)
    query, keys, values, mask = _tile(dtype, group, dim, rows, 1 + trial % 3, generator)
    whole = scaled_dot_product_attention(query, keys, values, mask)
    for first in range(0, rows, short):
        part = slice(first * group, min(first + short, rows) * group)
        alone = scaled_dot_product_attention(query[:, :, part], keys, values, mask[:, :, part])
        if not torch.equal(whole[:, :, part], alone):
            return False
    return True


def _tile(
    dtype: torch.dtype, group: int, dim: int, rows: int, blocks: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Query, keys, values and mask of a random tile whose ``rows`` end in key block ``blocks``."""
    end = READ_GRANULE * blocks
    length = end - int(torch.randint(READ_GRANULE - rows, (), generator=generator))

    def normal(count: int) -> torch.Tensor:
        return torch.randn((1, probe_heads(dtype), count, dim), generator=generator).to(dtype)

    query, keys, values = 2 * normal(rows * group), normal(end), normal(end)
    hidden = torch.arange(end) > torch.arange(length - rows, length)[:, None]
    mask = torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, float("-inf"))
    return query, keys, values, mask.repeat_interleave(group, dim=0)[None, None]
