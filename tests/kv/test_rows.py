"""How many rows an exact tile holds: no bit may depend on it."""

from __future__ import annotations

import pytest
import torch

from agentspark.kv import rows as rows_module
from agentspark.kv.attention import attend
from agentspark.kv.batch import AttentionBatch, Segment
from agentspark.kv.rows import LONG_TILE_ROWS, tile_rows
from agentspark.kv.store import KVStore, LayerShape
from agentspark.kv.tiles import TILE_ROWS

DIM, BLOCK = 64, 16


def test_float32_and_groups_that_do_not_fill_a_tile_keep_to_short_ones() -> None:
    assert tile_rows(torch.float32, 3, DIM) == TILE_ROWS
    assert tile_rows(torch.bfloat16, 7, DIM) == TILE_ROWS
    assert tile_rows(torch.bfloat16, 3, DIM) in (TILE_ROWS, LONG_TILE_ROWS)


def test_a_kernel_whose_bits_differ_keeps_short_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    real = rows_module.scaled_dot_product_attention

    def by_size(q: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = real(q, *rest)
        return out.neg() if q.shape[2] >= LONG_TILE_ROWS else out

    monkeypatch.setattr(rows_module, "scaled_dot_product_attention", by_size)
    assert tile_rows.__wrapped__(torch.bfloat16, 3, DIM) == TILE_ROWS


@pytest.mark.parametrize("group", [1, 3, 4])
@pytest.mark.parametrize("rows", [40, 64, 150])
def test_a_prompt_has_the_bits_of_its_rows_read_one_after_the_other(group: int, rows: int) -> None:
    device, dtype, kv_heads = torch.device("cpu"), torch.bfloat16, 2
    store = KVStore(80, BLOCK, [LayerShape(kv_heads, DIM)], [], dtype=dtype, device=device)
    layer, generator = store.target[0], torch.Generator().manual_seed(rows)
    for cache in (layer.k, layer.v):
        cache.copy_(torch.randn(cache.shape, generator=generator))

    def attended(queries: torch.Tensor, context: int) -> torch.Tensor:
        count = queries.shape[1]
        batch = AttentionBatch(
            segments=[Segment(0, count, context, range(80))],
            rows=count,
            block_tokens=BLOCK,
            scratch_slot=store.scratch_slot,
            exact=True,
            dtype=dtype,
            device=device,
        )
        return attend(queries, layer, batch)

    for context in (0, 37, 470, 900):
        queries = torch.randn(group * kv_heads, rows, DIM, generator=generator).to(dtype)
        whole = attended(queries, context)
        for at in range(0, rows, 7):
            part = queries[:, at : at + 7]
            assert torch.equal(whole[:, at : at + 7], attended(part, context + at))
