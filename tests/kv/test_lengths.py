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


def visible_keys(query: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
    """As a kernel whose sums have no rounding, so that no key too many shows."""
    return (rest[2] == 0).sum(dim=-1, keepdim=True).expand(*query.shape[:3], -1)


@pytest.mark.parametrize("group", [1, 3, 5, 71])
def test_a_kernel_without_rounding_is_found_to_agree_on_all_lengths(
    group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lengths_module, "rows_share", lambda *_: True)
    monkeypatch.setattr(lengths_module, "scaled_dot_product_attention", visible_keys)
    found = read_lengths.__wrapped__(torch.float32, group, 8)
    assert found.partial == tuple(range(64, READ_GRANULE, 64))


@pytest.mark.parametrize("rows", [4, 12, 28])
@pytest.mark.parametrize("behind", [False, True])
def test_lengths_are_asked_for_few_rows_and_many_in_every_block(
    rows: int, behind: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that reads what is masked, for so many rows in the first block or behind it."""

    def reads_on(query: torch.Tensor, keys: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        seen = visible_keys(query, keys, *rest)
        wrong = query.shape[2] == rows and (keys.shape[2] > READ_GRANULE) == behind
        return seen + keys.shape[2] if wrong else seen

    monkeypatch.setattr(lengths_module, "rows_share", lambda *_: True)
    monkeypatch.setattr(lengths_module, "scaled_dot_product_attention", reads_on)
    assert read_lengths.__wrapped__(torch.float32, 1, 8) == ReadLengths()


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
