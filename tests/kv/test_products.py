"""Attention over long contexts by products: plain attention's numbers, and bits of a row's own."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention

from agentspark.kv import batch as batch_module
from agentspark.kv import products
from agentspark.kv.attention import attend
from agentspark.kv.batch import AttentionBatch, HeadShape, Segment, token_slots
from agentspark.kv.products import MOST_FLASH_KEYS, keys_read, products_are_exact, rows_computed
from agentspark.kv.store import READ_GRANULE, KVStore, LayerShape

HEADS, KV_HEADS, DIM, BLOCK, LENGTH = 6, 2, 16, 16, 2000
GROUP = HEADS // KV_HEADS
OWN = -(-LENGTH // BLOCK)


@pytest.fixture(autouse=True)
def any_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use products wherever the tests run: slower or faster, they are right."""
    monkeypatch.setattr(batch_module, "products_pay", lambda dtype: dtype == torch.bfloat16)


def run() -> list[int]:
    return list(range(3, 3 + OWN))


def last_run() -> list[int]:
    return list(range(2 * OWN, 3 * OWN))


def two_runs() -> list[int]:
    return [*range(OWN + 20, 2 * OWN), *range(OWN, OWN + 20)]


def scattered() -> list[int]:
    blocks = list(range(OWN, 2 * OWN))
    random.Random(5).shuffle(blocks)
    return blocks


PLACES = {"run": run(), "last run": last_run(), "two runs": two_runs(), "scattered": scattered()}


class Long:
    """A sequence of 2,000 tokens, its keys and values at the given blocks of a pool."""

    def __init__(self, blocks: list[int]) -> None:
        generator = torch.Generator().manual_seed(1)

        def normal(heads: int) -> torch.Tensor:
            return torch.randn(heads, LENGTH, DIM, generator=generator).bfloat16()

        self.q, self.k, self.v = normal(HEADS), normal(KV_HEADS), normal(KV_HEADS)
        self.blocks = blocks
        self.store = KVStore(
            3 * OWN, BLOCK, [LayerShape(KV_HEADS, DIM)], [],
            dtype=torch.bfloat16, device=torch.device("cpu"),
        )  # fmt: skip
        slots = torch.tensor(token_slots(blocks, 0, LENGTH, BLOCK))
        self.store.target[0].write(slots, self.k, self.v)

    def batch(self, segments: list[Segment], rows: int, *, exact: bool) -> AttentionBatch:
        return AttentionBatch(
            segments=segments, rows=rows, block_tokens=BLOCK,
            scratch_slot=self.store.scratch_slot, exact=exact,
            dtype=torch.bfloat16, device=torch.device("cpu"),
        )  # fmt: skip

    def rows(
        self, first: int, count: int, *, exact: bool = True, causal: bool = True
    ) -> torch.Tensor:
        batch = self.batch([Segment(0, count, first, self.blocks, causal)], count, exact=exact)
        return attend(self.q[:, first : first + count], self.store.target[0], batch)

    def reference(self, first: int, count: int, *, causal: bool = True) -> torch.Tensor:
        seen = torch.arange(first, first + count)[:, None]
        if not causal:
            seen = torch.full_like(seen, first + count - 1)
        return scaled_dot_product_attention(
            self.q[None, :, first : first + count].float(), self.k[None].float(),
            self.v[None].float(), torch.arange(LENGTH) <= seen, enable_gqa=True,
        )[0]  # fmt: skip


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("place", PLACES)
def test_equals_plain_attention(exact: bool, causal: bool, place: str) -> None:
    long = Long(PLACES[place])
    for first, count in ((1400, 300), (1992, 8), (180, 20), (600, 3), (1999, 1)):
        out = long.rows(first, count, exact=exact, causal=causal)
        expected = long.reference(first, count, causal=causal)
        torch.testing.assert_close(out.float(), expected, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("place", PLACES)
def test_rows_have_the_same_bits_however_they_are_computed(place: str) -> None:
    if not products_are_exact(torch.bfloat16, GROUP, DIM):
        pytest.skip("this processor's matrix kernels give a row other bits beside other rows")
    near, other = Long(PLACES["run"]), Long(PLACES[place])
    whole = near.rows(0, LENGTH)
    places = [(185, 16), (191, 1), (192, 1), (193, 5), (700, 9), (1000, 70), (1279, 3), (1999, 1)]
    for first, count in places:
        part = whole[:, first : first + count]
        assert torch.equal(near.rows(first, count), part)
        assert torch.equal(other.rows(first, count), part)


def test_long_and_short_sequences_share_a_batch() -> None:
    long = Long(run())
    whole = torch.cat([long.rows(first, 100) for first in range(0, LENGTH, 100)], dim=1)
    places = [(1500, 5), (40, 3), (190, 4), (1990, 8)]
    segments, q, at = [], [], 0
    for first, count in places:
        segments.append(Segment(at, count, first, long.blocks))
        q.append(long.q[:, first : first + count])
        at += count
    batch = long.batch(segments, at, exact=True)
    out = attend(torch.cat(q, dim=1), long.store.target[0], batch)
    expected = torch.cat([whole[:, first : first + count] for first, count in places], dim=1)
    assert torch.equal(out, expected)


def parts_of(context: int, rows: int, *, window: int | None = None) -> list[tuple[int, int, bool]]:
    batch = Long(run()).batch([Segment(0, rows, context, run())], rows, exact=True)
    cut = batch._cut(batch.segments[0], HeadShape(GROUP, DIM, window))
    return [(part.first, part.rows, part.long) for part in cut]


def test_the_keys_that_a_row_sees_decide_how_it_is_attended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_module, "products_are_exact", lambda *_: True)
    most = MOST_FLASH_KEYS
    assert parts_of(most - 8, 16) == [(0, 8, False), (8, 8, True)]
    assert parts_of(most - 1, 1) == [(0, 1, False)]
    assert parts_of(most, 2) == [(0, 2, True)]
    assert parts_of(1020, 9) == [(0, 4, True), (4, 5, True)]
    assert parts_of(most + 100, 2, window=128) == [(0, 2, False)]


def test_kernels_whose_bits_differ_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    real = products.attend_long

    def by_length(q: torch.Tensor, k: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        out = real(q, k, *rest)
        return out.neg() if k.shape[1] > 3000 else out

    monkeypatch.setattr(products, "attend_long", by_length)
    assert not products_are_exact.__wrapped__(torch.bfloat16, GROUP, DIM)
    monkeypatch.setattr(batch_module, "products_are_exact", lambda *_: False)
    assert parts_of(900, 2) == [(0, 2, False)]


@given(st.integers(1, 100_000))
def test_few_numbers_of_keys_are_read_and_none_past_the_pool(seen: int) -> None:
    read = keys_read(seen)
    assert seen <= read
    assert read % 128 == 0
    assert (read > 1024) == (seen > 1024)
    assert read - seen < READ_GRANULE


@given(st.integers(1, 400))
def test_few_numbers_of_rows_are_computed(rows: int) -> None:
    computed = rows_computed(rows)
    assert rows <= computed <= max(rows + 15, 4)
    assert computed % (4 if rows <= 8 else 16) == 0
