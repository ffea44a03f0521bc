"""How many rows an exact tile holds: no bit may depend on it."""

from __future__ import annotations

import pytest
import torch

from agentspark.kv import batch as batch_module
from agentspark.kv import rows as rows_module
from agentspark.kv.lengths import ReadLengths
from agentspark.kv.rows import LONG_TILE_ROWS, rows_share, tile_rows
from agentspark.kv.tiles import TILE_ROWS

from .exact_attention import ExactAttention

DIM = 64


def test_groups_that_do_not_fill_a_tile_keep_to_short_ones() -> None:
    assert tile_rows(torch.bfloat16, 7, DIM) == TILE_ROWS
    assert tile_rows(torch.bfloat16, 3, DIM) in (TILE_ROWS, LONG_TILE_ROWS)


def test_rows_whose_bits_depend_on_the_others_share_no_tile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A kernel that treats its last row in a way of its own; rows are attended alone then."""
    real = rows_module.scaled_dot_product_attention

    def by_place(q: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = real(q, *rest)
        out[:, :, -1] *= 1.0 + 1e-6
        return out

    monkeypatch.setattr(rows_module, "scaled_dot_product_attention", by_place)
    assert not rows_share.__wrapped__(torch.float32, 1, DIM)
    monkeypatch.setattr(rows_module, "rows_share", lambda *_: False)
    assert tile_rows.__wrapped__(torch.float32, 3, DIM) == TILE_ROWS


def test_a_kernel_whose_bits_differ_keeps_short_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    real = rows_module.scaled_dot_product_attention

    def by_size(q: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = real(q, *rest)
        return out.neg() if q.shape[2] >= LONG_TILE_ROWS else out

    monkeypatch.setattr(rows_module, "scaled_dot_product_attention", by_size)
    assert tile_rows.__wrapped__(torch.bfloat16, 3, DIM) == TILE_ROWS


@pytest.mark.parametrize(("group", "dim"), [(1, DIM), (3, DIM), (4, DIM), (4, 2 * DIM)])
@pytest.mark.parametrize("rows", [40, 64, 150])
@pytest.mark.parametrize("kind", ["bfloat16", "float32", "float32, row by row"])
def test_a_prompt_has_the_bits_of_its_rows_read_one_after_the_other(
    group: int, dim: int, rows: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kv_heads = 2
    dtype = torch.bfloat16 if kind == "bfloat16" else torch.float32
    if kind.endswith("row by row"):
        monkeypatch.setattr(batch_module, "rows_share", lambda *_: False)
        monkeypatch.setattr(batch_module, "read_lengths", lambda *_: ReadLengths())
        monkeypatch.setattr(batch_module, "tile_rows", lambda *_: TILE_ROWS)
    attended = ExactAttention(kv_heads, dim, seed=rows, dtype=dtype)
    for context in (0, 37, 470, 900):
        queries = attended.queries(group * kv_heads, rows)
        whole = attended(queries, context)
        for at in range(0, rows, 7):
            part = queries[:, at : at + 7]
            assert torch.equal(whole[:, at : at + 7], attended(part, context + at))
