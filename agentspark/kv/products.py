"""Attention over long contexts on a CPU: two matrix products and a softmax between them.

The CPU's flash kernel multiplies at the speed of float32, whatever the dtype: 60 to 80 GF/s on a
core whose bfloat16 matrix kernels do 300 to 450. From about a thousand keys on the products by
themselves take half to a third of its time (SmolLM2's heads, one core, 3,000 keys: 0.46 -> 0.24 ms
for four rows, 1.5 -> 0.57 ms for sixteen, 5.5 -> 1.9 ms for 64). Scores are bfloat16 then, as in
transformers' eager attention.

Whether a row is attended this way depends on the number of keys it sees and on nothing else, so
that exact mode holds. It also rests on the matrix kernels: a row's bits must not depend on the rows
beside it nor on how many masked keys follow. That is a property of the processor and the library
and is found out by asking. What was seen: they sum up to 1,024 keys in one order, and more in
another, so never fewer than that are read.
"""

from __future__ import annotations

from functools import lru_cache

import torch

# Rows that see more keys than this are attended by products.
MOST_FLASH_KEYS = 768

# A kernel is made and kept (0.7 MiB) for every number of keys and of rows, so there are few.
_LEAST_KEYS, _KEY_STEP, _LONG_KEYS, _LONG_KEY_STEP = 1280, 256, 2048, 512
_TRIALS = 16
_TRIAL_ROWS, _TRIAL_KEYS = 64, 4096


def keys_read(seen: int) -> int:
    """How many keys are read for ``seen`` ones, the others masked: less than 512 more."""
    step = _KEY_STEP if seen <= _LONG_KEYS else _LONG_KEY_STEP
    return max(_LEAST_KEYS, -(-seen // step) * step)


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

    Takes some tens of milliseconds, once per process.
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
    q = q * (q.shape[-1] ** -0.5 if scaling is None else scaling)
    scores = q.new_empty(*q.shape[:2], k.shape[1])
    # Head by head: a batched product would copy what does not lie in one piece.
    for head, keys in enumerate(k):
        torch.mm(q[head], keys.t(), out=scores[head])
    scores[:, :, k.shape[1] - mask.shape[1] :] += mask
    weights = scores.softmax(dim=-1)
    out = torch.empty_like(q)
    for head, values in enumerate(v):
        torch.mm(weights[head], values, out=out[head])
    return out


def _agrees(dtype: torch.dtype, group: int, dim: int, generator: torch.Generator) -> bool:
    """Whether some of 64 rows have the same bits alone, and with more masked keys behind them."""

    def normal(count: int) -> torch.Tensor:
        return torch.randn((1, count, dim), generator=generator).to(dtype)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=generator))

    keys, values, query = normal(_TRIAL_KEYS), normal(_TRIAL_KEYS), 2 * normal(_TRIAL_ROWS * group)
    first = draw(MOST_FLASH_KEYS + 1, _TRIAL_KEYS - _TRIAL_ROWS)
    rows = rows_computed(draw(1, _TRIAL_ROWS - 16))
    begin = draw(0, _TRIAL_ROWS - rows + 1)
    end = keys_read(first + begin + rows - 1)

    def attend(begin: int, rows: int, end: int) -> torch.Tensor:
        seen = torch.arange(first + begin, first + begin + rows)
        hidden = torch.arange(first + begin, end) >= seen[:, None]
        mask = torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, float("-inf"))
        part = query[:, begin * group : (begin + rows) * group]
        mask = mask.repeat_interleave(group, dim=0)
        return attend_long(part, keys[:, :end], values[:, :end], mask)

    whole = attend(0, _TRIAL_ROWS, keys_read(first + _TRIAL_ROWS - 1))
    part = whole[:, begin * group : (begin + rows) * group]
    return all(
        torch.equal(attend(begin, rows, length), part)
        for length in {end, _TRIAL_KEYS, draw(end // _KEY_STEP, 17) * _KEY_STEP}
    )
