"""Attention over many keys on a CPU: two matrix products and a softmax between them.

The CPU's flash kernel multiplies at the speed of float32, whatever the dtype: 60 to 80 GF/s on a
core whose bfloat16 matrix kernels do 300 to 450. From some two hundred keys on the products by
themselves are faster, although they copy the keys and values (SmolLM2's heads, thirty layers, one
core: 5.0 -> 3.3 ms for four rows at 700 keys, 19.0 -> 8.7 at 2,900; 169 -> 60 ms for 64 rows at
2,900). Scores are bfloat16 then, as in transformers' eager attention, and logits as far from
float32's as before (6,700 tokens of prompts and transcripts: a KL divergence of 0.00104, by the
flash kernel 0.00100; loss 1.958 and 1.959).

Whether a row is attended this way depends on the number of keys it sees and on nothing else, so
that exact mode holds. It also rests on the matrix kernels: a row's bits must not depend on the rows
beside it nor on how many masked keys follow. That is a property of the processor and the library
and is found out by asking. What was seen: up to 1,024 keys are summed in one order and more in
another, so no row that sees fewer reads more than these.
"""

from __future__ import annotations

from functools import lru_cache

import torch

# Rows that see more keys than this are attended by products.
MOST_FLASH_KEYS = 192

# So many keys are summed in one order, more in another: rows on both sides share no product.
ONE_SUM_KEYS = 1024
# A kernel is made and kept (0.7 MiB) for every number of keys and of rows, so there are few:
# multiples of a step, up to so many keys.
_KEY_STEPS = ((512, 128), (2048, 256))
_LONG_KEY_STEP = 512
_TRIALS = 16
_TRIAL_KEYS = 4096
# Stacked query rows of a whole tile.
_TILE_ROWS = 192


def keys_read(seen: int) -> int:
    """How many keys are read for ``seen`` ones, the others masked: less than 512 more."""
    step = next((step for most, step in _KEY_STEPS if seen <= most), _LONG_KEY_STEP)
    return -(-seen // step) * step


def rows_computed(rows: int) -> int:
    """How many rows are computed for ``rows`` ones: few numbers, as of keys."""
    step = 4 if rows <= 8 else 16
    return -(-rows // step) * step


@lru_cache(maxsize=64)
def products_pay(dtype: torch.dtype) -> bool:
    """Whether this processor multiplies ``dtype`` faster than the flash kernel does.

    On one with tiles (AMX) that kernel has bfloat16 products of its own.
    """
    fast = torch.cpu._is_avx512_bf16_supported() and not torch.cpu._is_amx_tile_supported()
    return dtype == torch.bfloat16 and bool(fast)


@lru_cache(maxsize=64)
def products_are_exact(dtype: torch.dtype, group: int, dim: int) -> bool:
    """Whether rows have bits of their own, for ``group`` query heads of ``dim`` per key head.

    Takes a tenth of a second or two, more for wide heads, once per process.
    """
    generator = torch.Generator().manual_seed(0)
    return all(_agrees(dtype, group, dim, generator) for _ in range(_TRIALS))


def attend_long(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor,
    *,
    scaling: float | None = None,
) -> torch.Tensor:
    """Attention of ``q [kv_heads, rows, dim]`` over ``k, v [kv_heads, keys, dim]``.

    ``mask [rows, masked]`` is additive and of the last ``masked`` keys; all see those before.
    """
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    # The kernels take what lies in one piece; left to themselves they would transpose the copy.
    scores = torch.bmm(q * scale, k.contiguous().transpose(1, 2))
    scores[:, :, k.shape[1] - mask.shape[1] :] += mask
    return torch.bmm(scores.softmax(dim=-1), v.contiguous())


def _agrees(dtype: torch.dtype, group: int, dim: int, generator: torch.Generator) -> bool:
    """Whether some rows of a tile have the same bits alone, and with more masked keys behind."""
    tile = max(_TILE_ROWS // group, 24)

    def normal(count: int) -> torch.Tensor:
        return torch.randn((1, count, dim), generator=generator).to(dtype)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    keys, values, query = normal(_TRIAL_KEYS), normal(_TRIAL_KEYS), 2 * normal(tile * group)
    low, high = (MOST_FLASH_KEYS, ONE_SUM_KEYS) if draw(0, 2) else (ONE_SUM_KEYS, _TRIAL_KEYS)
    first = draw(low + 1, high - tile)
    rows = rows_computed(draw(1, tile - 15))
    begin = draw(0, tile - rows + 1)
    end = keys_read(first + begin + rows - 1)

    def attend(begin: int, rows: int, end: int) -> torch.Tensor:
        seen = torch.arange(first + begin, first + begin + rows)
        hidden = torch.arange(first + begin, end) >= seen[:, None]
        mask = torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, float("-inf"))
        part = query[:, begin * group : (begin + rows) * group]
        mask = mask.repeat_interleave(group, dim=0)
        return attend_long(part, keys[:, :end], values[:, :end], mask)

    whole = attend(0, tile, keys_read(first + tile - 1))
    part = whole[:, begin * group : (begin + rows) * group]
    lengths = {end, high, keys_read(draw(end, high + 1))}
    return all(torch.equal(attend(begin, rows, length), part) for length in lengths)
