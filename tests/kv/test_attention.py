"""The paged attention: equal to plain attention, and in exact mode the same bits however split."""

from __future__ import annotations

import random

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from agentspark.kv import batch as batch_module
from agentspark.kv.attention import attend
from agentspark.kv.batch import AttentionBatch, HeadShape, Segment, token_slots
from agentspark.kv.rows import rows_share
from agentspark.kv.store import KVStore, LayerShape
from agentspark.kv.tiles import Strided

HEADS, KV_HEADS, DIM, BLOCK = 6, 2, 16, 16
LENGTH = 700


@pytest.fixture(autouse=True)
def the_flash_kernel_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that see many keys are attended by products elsewhere: see ``test_products.py``."""
    monkeypatch.setattr(batch_module, "products_pay", lambda dtype: False)


def make_store(dtype: torch.dtype, blocks: int = 128) -> KVStore:
    shape = LayerShape(KV_HEADS, DIM)
    return KVStore(blocks, BLOCK, [shape], [], dtype=dtype, device=torch.device("cpu"))


def make_batch(
    store: KVStore, segments: list[Segment], rows: int, *, exact: bool
) -> AttentionBatch:
    return AttentionBatch(
        segments=segments,
        rows=rows,
        block_tokens=BLOCK,
        scratch_slot=store.scratch_slot,
        exact=exact,
        dtype=store.target[0].k.dtype,
        device=torch.device("cpu"),
    )


class Stream:
    """One sequence's queries, keys and values, stored behind a given block table."""

    def __init__(self, store: KVStore, blocks: list[int], seed: int = 0) -> None:
        dtype = store.target[0].k.dtype
        generator = torch.Generator().manual_seed(seed)
        self.q = torch.randn(HEADS, LENGTH, DIM, generator=generator).to(dtype)
        self.k = torch.randn(KV_HEADS, LENGTH, DIM, generator=generator).to(dtype)
        self.v = torch.randn(KV_HEADS, LENGTH, DIM, generator=generator).to(dtype)
        self.blocks = blocks
        slots = torch.tensor(token_slots(blocks, 0, LENGTH, BLOCK))
        store.target[0].write(slots, self.k, self.v)

    def rows(self, first: int, count: int, store: KVStore, *, exact: bool) -> torch.Tensor:
        segment = Segment(0, count, first, self.blocks)
        batch = make_batch(store, [segment], count, exact=exact)
        return attend(self.q[:, first : first + count], store.target[0], batch)

    def reference(self, window: int | None = None) -> torch.Tensor:
        position = torch.arange(LENGTH)
        allowed = position[None] <= position[:, None]
        if window is not None:
            allowed &= position[None] > position[:, None] - window
        return scaled_dot_product_attention(
            self.q[None].float(),
            self.k[None].float(),
            self.v[None].float(),
            allowed,
            enable_gqa=True,
        )[0]


def run_of_blocks(start: int = 3) -> list[int]:
    return list(range(start, start + LENGTH // BLOCK + 1))


def two_runs() -> list[int]:
    blocks = list(range(60, 60 + LENGTH // BLOCK + 1))
    return [*blocks[20:], *blocks[:20]]


def scattered_blocks() -> list[int]:
    blocks = list(range(60, 60 + LENGTH // BLOCK + 1))
    random.Random(5).shuffle(blocks)
    return blocks


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("blocks", [run_of_blocks(), two_runs(), scattered_blocks()])
def test_equals_plain_attention(exact: bool, blocks: list[int]) -> None:
    store = make_store(torch.float32)
    stream = Stream(store, blocks)
    out = torch.cat(
        [stream.rows(first, 100, store, exact=exact) for first in range(0, LENGTH, 100)], dim=1
    )
    torch.testing.assert_close(out, stream.reference(), atol=1e-4, rtol=1e-4)


def test_window_hides_what_lies_before_it() -> None:
    store = make_store(torch.float32)
    stream = Stream(store, run_of_blocks())
    batch = make_batch(store, [Segment(0, 8, 300, stream.blocks)], 8, exact=False)
    out = attend(stream.q[:, 300:308], store.target[0], batch, window=64)
    torch.testing.assert_close(out, stream.reference(64)[:, 300:308], atol=1e-4, rtol=1e-4)


def test_a_drafters_block_sees_itself_both_ways() -> None:
    store = make_store(torch.float32)
    stream = Stream(store, run_of_blocks())
    segment = Segment(0, 7, 200, stream.blocks, causal=False)
    batch = make_batch(store, [segment], 7, exact=False)
    out = attend(stream.q[:, 200:207], store.target[0], batch)
    expected = scaled_dot_product_attention(
        stream.q[None, :, 200:207], stream.k[None, :, :207], stream.v[None, :, :207],
        enable_gqa=True,
    )[0]  # fmt: skip
    torch.testing.assert_close(out, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_exact_rows_have_the_same_bits_however_they_are_computed(dtype: torch.dtype) -> None:
    store = make_store(dtype)
    near, far = Stream(store, run_of_blocks()), Stream(store, scattered_blocks())
    whole = near.rows(0, LENGTH, store, exact=True)
    for first, count in ((0, 1), (5, 3), (90, 8), (505, 16), (511, 2), (640, 33), (699, 1)):
        part = slice(first, first + count)
        assert torch.equal(near.rows(first, count, store, exact=True), whole[:, part])
        assert torch.equal(far.rows(first, count, store, exact=True), whole[:, part])
    segments = [Segment(0, 3, 600, far.blocks), Segment(3, 1, 77, near.blocks)]
    batch = make_batch(store, segments, 6, exact=True)
    q = torch.cat([far.q[:, 600:603], near.q[:, 77:78], torch.zeros(HEADS, 2, DIM).to(dtype)], 1)
    mixed = attend(q, store.target[0], batch)
    assert torch.equal(mixed[:, :3], whole[:, 600:603])
    assert torch.equal(mixed[:, 3:4], whole[:, 77:78])
    assert bool(mixed[:, 4:].isfinite().all())


def neighbours(store: KVStore, count: int) -> list[Stream]:
    """Sequences of which each lies in one run, the later ones not always further on."""
    blocks = LENGTH // BLOCK + 1
    starts = [blocks * place for place in (2, 0, 3, 1)]
    return [Stream(store, list(range(starts[i], starts[i] + blocks)), seed=i) for i in range(count)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_paired_segments_have_the_bits_of_single_ones(dtype: torch.dtype) -> None:
    store = make_store(dtype, blocks=192)
    streams = neighbours(store, 4)
    wholes = [stream.rows(0, LENGTH, store, exact=True) for stream in streams]
    places = [(i % 4, 17 * i + 5, 1 + i % 4) for i in range(30)]
    segments, queries, start = [], [], 0
    for which, first, count in places:
        segments.append(Segment(start, count, first, streams[which].blocks))
        queries.append(streams[which].q[:, first : first + count])
        start += count
    batch = make_batch(store, segments, start + 3, exact=True)
    padding = torch.zeros(HEADS, 3, DIM).to(dtype)
    out = attend(torch.cat([*queries, padding], 1), store.target[0], batch)
    paired = [tile for tile in batch.tiles(HeadShape(HEADS // KV_HEADS, DIM)) if tile.begins[1:]]
    shared = rows_share(dtype, HEADS // KV_HEADS, DIM)
    assert len(paired) > 8 if shared else not paired
    if paired:
        # Also those of different numbers of rows, and those that lie the other way round.
        assert any(len(set(tile.counts)) == 2 for tile in paired)
        assert any(tile.begins[0] > tile.begins[1] for tile in paired)
    for segment, (which, _, _) in zip(segments, places, strict=True):
        rows = slice(segment.start, segment.start + segment.rows)
        own = wholes[which][:, segment.context : segment.context + segment.rows]
        assert torch.equal(out[:, rows], own)
    assert bool(out[:, start:].isfinite().all())


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("window", [None, 64])
def test_paired_segments_see_what_single_ones_see(causal: bool, window: int | None) -> None:
    store = make_store(torch.float32, blocks=192)
    streams = neighbours(store, 3)
    segments, queries, start = [], [], 0
    for i in range(12):
        stream, rows = streams[i % 3], 3 + i % 3
        segments.append(Segment(start, rows, 300 + i, stream.blocks, causal=causal))
        queries.append(stream.q[:, 300 + i : 300 + i + rows])
        start += rows
    batch = make_batch(store, segments, start, exact=False)
    out = attend(torch.cat(queries, 1), store.target[0], batch, window=window)
    assert any(tile.begins[1:] for tile in batch.tiles(HeadShape(HEADS // KV_HEADS, DIM, window)))
    for query, segment in zip(queries, segments, strict=True):
        alone = Segment(0, segment.rows, segment.context, segment.blocks, causal=causal)
        single = make_batch(store, [alone], segment.rows, exact=False)
        expected = attend(query, store.target[0], single, window=window)
        got = out[:, segment.start : segment.start + segment.rows]
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)


def test_only_segments_that_are_alike_share_a_call() -> None:
    store = make_store(torch.float32, blocks=256)
    near, other = neighbours(store, 2)

    def pairs(*segments: Segment) -> int:
        rows = segments[-1].start + segments[-1].rows
        batch = make_batch(store, list(segments), rows, exact=False)
        return sum(len(tile.begins) == 2 for tile in batch.tiles(HeadShape(3, DIM)))

    assert pairs(Segment(0, 1, 300, near.blocks), Segment(1, 1, 320, other.blocks)) == 1
    assert pairs(Segment(0, 1, 60, near.blocks), Segment(1, 1, 600, other.blocks)) == 0
    assert pairs(Segment(0, 1, 300, near.blocks), Segment(1, 14, 300, other.blocks)) == 0
    assert pairs(Segment(0, 1, 300, near.blocks), Segment(1, 1, 300, scattered_blocks())) == 0
    # As many keys from where the first one lies would go beyond the pool's end.
    last, long = list(range(211, 256)), list(range(100))
    assert pairs(Segment(0, 1, 699, last), Segment(1, 1, 1200, long)) == 1
    assert pairs(Segment(0, 1, 699, last), Segment(1, 1, 1249, long)) == 0
    assert pairs(Segment(0, 1, 699, list(range(200, 245))), Segment(1, 1, 1249, long)) == 1


def test_a_run_is_read_without_a_copy_and_a_scattered_table_is_gathered() -> None:
    store = make_store(torch.float32)
    segments = [
        Segment(0, 1, 99, run_of_blocks()),
        Segment(1, 1, 399, scattered_blocks()),
        Segment(2, 1, 500, two_runs()),
    ]
    batch = make_batch(store, segments, 3, exact=False)
    tiles = sorted(batch.tiles(HeadShape(3, DIM)), key=lambda tile: tile.begins)
    near, gathered, runs = (tile.place for tile in tiles)
    assert near == Strided(3 * BLOCK, 0, 100)
    assert isinstance(gathered, torch.Tensor)
    assert gathered.tolist() == token_slots(segments[1].blocks, 0, 400, BLOCK)
    assert isinstance(runs, list) and len(runs) == 2
    assert sum(run.stop - run.start for run in runs) == 501


def test_a_whole_read_has_a_mask_in_exact_mode_alone() -> None:
    store = make_store(torch.bfloat16)
    for exact in (True, False):
        batch = make_batch(store, [Segment(0, 1, 511, run_of_blocks())], 4, exact=exact)
        (tile,) = batch.tiles(HeadShape(3, DIM))
        assert tile.rows == 1
        assert (tile.mask is not None) == exact


def test_padding_rows_write_nowhere() -> None:
    store = make_store(torch.float32)
    layer = store.target[0]
    for segments in (
        [Segment(0, 2, 0, [4])],
        [Segment(0, 1, 0, [4]), Segment(1, 1, 3, [7])],
    ):
        layer.k.zero_()
        batch = make_batch(store, segments, 4, exact=True)
        layer.write(batch.slots, torch.ones(KV_HEADS, 4, DIM), torch.ones(KV_HEADS, 4, DIM))
        written = layer.k[0, :, 0].nonzero()[:, 0].tolist()
        own = [token_slots(s.blocks, s.context, s.length, BLOCK) for s in segments]
        assert written == [slot for slots in own for slot in slots]
