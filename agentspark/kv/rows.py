"""How many query rows an exact tile holds: as many as the kernel treats like a few.

The CPU's flash kernel works on blocks of 32 query rows for inputs of fewer than 192 rows and on
blocks of 64 from there on, which takes about a seventh less time at a long prompt. A row's bits
must not depend on it, and whether they do is a property of the processor's matrix kernels, so it
is found out by asking them.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch.nn.functional import scaled_dot_product_attention

from agentspark.kv.store import READ_GRANULE
from agentspark.kv.tiles import TILE_ROWS

# The fewest rows of the kernel's larger blocks.
LONG_TILE_ROWS = 192
_TRIALS = 12
_KV_HEADS = 2


@lru_cache(maxsize=64)
def tile_rows(dtype: torch.dtype, group: int, dim: int) -> int:
    """The stacked query rows (heads of a group side by side) of an exact tile, at most.

    ``LONG_TILE_ROWS`` where a row has the bits there that it has in a tile of ``TILE_ROWS``. Takes
    some tens of milliseconds, once per process.
    """
    if dtype != torch.bfloat16 or LONG_TILE_ROWS % group:
        return TILE_ROWS  # a tile that is not full would have small blocks again
    generator = torch.Generator().manual_seed(0)
    agree = (_agrees(dtype, group, dim, trial, generator) for trial in range(_TRIALS))
    return LONG_TILE_ROWS if all(agree) else TILE_ROWS


def _agrees(
    dtype: torch.dtype, group: int, dim: int, trial: int, generator: torch.Generator
) -> bool:
    """Whether one tile of the longer kind gives the bits of shorter ones."""
    rows, short = LONG_TILE_ROWS // group, max(TILE_ROWS // group, 1)
    end = READ_GRANULE * (1 + trial % 3)
    length = end - int(torch.randint(READ_GRANULE - rows, (), generator=generator))

    def normal(heads: int, count: int) -> torch.Tensor:
        return torch.randn((1, heads, count, dim), generator=generator).to(dtype)

    query = 2 * normal(_KV_HEADS, rows * group)
    keys, values = normal(_KV_HEADS, end), normal(_KV_HEADS, end)
    hidden = torch.arange(end) > torch.arange(length - rows, length)[:, None]
    mask = torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, float("-inf"))
    mask = mask.repeat_interleave(group, dim=0)[None, None]
    whole = scaled_dot_product_attention(query, keys, values, mask)
    for first in range(0, rows, short):
        part = slice(first * group, min(first + short, rows) * group)
        alone = scaled_dot_product_attention(query[:, :, part], keys, values, mask[:, :, part])
        if not torch.equal(whole[:, :, part], alone):
            return False
    return True
