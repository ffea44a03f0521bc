"""How many keys exact attention reads: no bit may depend on it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agentspark.kv import lengths as lengths_module
from agentspark.kv.lengths import ReadLengths, read_lengths
from agentspark.kv.store import READ_GRANULE

from .exact_attention import ExactAttention

GROUP, KV_HEADS, DIM = 3, 3, 64


@given(st.sets(st.integers(1, READ_GRANULE - 1)), st.integers(1, 5000))
def test_a_length_is_padded_to_the_next_that_agrees(partial: set[int], length: int) -> None:
    lengths = ReadLengths(tuple(sorted(partial)))
    padded = lengths.padded(length)
    assert length <= padded < length + READ_GRANULE
    assert padded % READ_GRANULE in {0, *partial} or padded == length
    assert lengths.padded(padded) == padded


def test_rows_that_are_attended_one_by_one_read_whole_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lengths_module, "rows_share", lambda *_: False)
    assert read_lengths.__wrapped__(torch.float32, GROUP, DIM) == ReadLengths()


def test_an_answer_is_found_once() -> None:
    assert read_lengths(torch.bfloat16, GROUP, DIM) is read_lengths(torch.bfloat16, GROUP, DIM)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("rows", [4, 8, 21, 32, 64])
def test_bits_are_those_of_whole_blocks(
    rows: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    attended = ExactAttention(KV_HEADS, DIM, seed=rows, dtype=dtype)
    for context in range(0, 1200, 29):
        queries = attended.queries(GROUP * KV_HEADS, rows)
        short = attended(queries, context)
        with monkeypatch.context() as patch:
            patch.setattr("agentspark.kv.batch.read_lengths", lambda *_: ReadLengths())
            assert torch.equal(short, attended(queries, context))
