"""Exact attention over a pool of random keys and values, as a forward of one sequence asks it."""

from __future__ import annotations

import torch

from agentspark.kv.attention import attend
from agentspark.kv.batch import AttentionBatch, Segment
from agentspark.kv.store import KVStore, LayerShape

_BLOCKS, _BLOCK_TOKENS = 80, 16
_DEVICE = torch.device("cpu")


class ExactAttention:
    """One layer of ``kv_heads`` heads of ``dim``, filled at random, and queries to ask it with."""

    def __init__(
        self, kv_heads: int, dim: int, seed: int, dtype: torch.dtype = torch.bfloat16
    ) -> None:
        self._dim, self._dtype = dim, dtype
        self._store = KVStore(
            _BLOCKS, _BLOCK_TOKENS, [LayerShape(kv_heads, dim)], [], dtype=dtype, device=_DEVICE
        )
        self._generator = torch.Generator().manual_seed(seed)
        for cache in (self._store.target[0].k, self._store.target[0].v):
            cache.copy_(torch.randn(cache.shape, generator=self._generator))

    def queries(self, heads: int, rows: int) -> torch.Tensor:
        """Random queries ``[heads, rows, dim]``."""
        return torch.randn(heads, rows, self._dim, generator=self._generator).to(self._dtype)

    def __call__(self, queries: torch.Tensor, context: int) -> torch.Tensor:
        """Attend with ``queries`` as the rows after ``context`` tokens; the result is as large."""
        rows = queries.shape[1]
        batch = AttentionBatch(
            segments=[Segment(0, rows, context, range(_BLOCKS))],
            rows=rows,
            block_tokens=_BLOCK_TOKENS,
            scratch_slot=self._store.scratch_slot,
            exact=True,
            dtype=self._dtype,
            device=_DEVICE,
        )
        return attend(queries, self._store.target[0], batch)
