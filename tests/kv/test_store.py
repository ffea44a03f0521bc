"""The pool's memory: zeros, aligned, taken as it is written and given back when it is let go."""

from __future__ import annotations

import psutil
import pytest
import torch

from agentspark.kv.store import KVStore, LayerShape

MIB = 2**20


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_pool_takes_memory_as_it_is_written(dtype: torch.dtype) -> None:
    before = resident()
    blocks = 256 * MIB // (2 * 64 * 16 * dtype.itemsize)
    store = KVStore(blocks, 16, [LayerShape(1, 64)], [], dtype=dtype, device=torch.device("cpu"))
    layer = store.target[0]
    assert layer.k.nbytes + layer.v.nbytes > 256 * MIB
    assert resident() - before < 64 * MIB
    layer.k.fill_(1.0)
    assert resident() - before > 100 * MIB
    store.release()
    assert resident() - before < 64 * MIB


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_unwritten_slots_hold_zeros_where_torch_would_lay_them(dtype: torch.dtype) -> None:
    shapes = [LayerShape(2, 24), LayerShape(1, 8)]
    store = KVStore(3, 8, shapes, shapes[:1], dtype=dtype, device=torch.device("cpu"))
    for layer in (*store.target, *store.drafter):
        for cache in (layer.k, layer.v):
            assert cache.dtype == dtype
            assert cache.is_contiguous()
            assert not cache.any()
            assert cache.data_ptr() % 64 == cache.storage_offset() == 0
