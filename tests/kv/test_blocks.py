"""The block pool: counts, free runs, errors that take nothing, and where blocks are placed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agentspark.errors import ConfigError, KVExhaustedError, KVIntegrityError
from agentspark.kv.blocks import BlockPool, block_runs


def test_a_new_pool_is_free() -> None:
    pool = BlockPool(10, 16)
    assert (pool.num_blocks, pool.block_tokens) == (10, 16)
    assert (pool.free_blocks, pool.used_blocks, pool.free_runs) == (10, 0, 1)
    assert pool.references(9) == 0


@pytest.mark.parametrize(("blocks", "tokens"), [(0, 16), (-1, 16), (4, 0)])
def test_an_impossible_pool_is_refused(blocks: int, tokens: int) -> None:
    with pytest.raises(ConfigError):
        BlockPool(blocks, tokens)


def test_a_block_is_free_when_its_last_reference_is_released() -> None:
    pool = BlockPool(4, 16)
    blocks = pool.allocate(2)
    pool.retain(blocks)
    pool.retain(blocks[:1])
    assert [pool.references(block) for block in blocks] == [3, 2]
    assert pool.release(blocks) == 0
    assert pool.release(blocks) == 1
    assert pool.release(blocks[:1]) == 1
    assert pool.free_blocks == 4
    pool.check_integrity()


def test_a_block_named_twice_loses_two_references() -> None:
    pool = BlockPool(4, 16)
    (block,) = pool.allocate(1)
    pool.retain([block])
    assert pool.release([block, block]) == 1
    pool.check_integrity()


def test_exhaustion_takes_nothing() -> None:
    pool = BlockPool(4, 16)
    held = pool.allocate(3)
    with pytest.raises(KVExhaustedError, match="2 KV blocks are needed and 1 of 4"):
        pool.allocate(2, after=held[-1])
    assert pool.free_blocks == 1
    assert pool.allocate(0) == []
    pool.check_integrity()
    assert len(pool.allocate(1)) == 1


def test_misuse_is_refused_and_changes_nothing() -> None:
    pool = BlockPool(4, 16)
    held = pool.allocate(2)
    free = 3
    for misuse in (
        lambda: pool.release([*held, held[0]]),
        lambda: pool.release([held[0], free]),
        lambda: pool.release([4]),
        lambda: pool.release([-1]),
        lambda: pool.retain([held[0], free]),
        lambda: pool.retain([-1]),
        lambda: pool.allocate(-1),
        lambda: pool.allocate(1, after=free),
        lambda: pool.allocate(1, after=4),
        lambda: pool.references(-1),
    ):
        with pytest.raises(KVIntegrityError):
            misuse()
        assert [pool.references(block) for block in range(4)] == [1, 1, 0, 0]
        pool.check_integrity()


def test_a_sequence_grows_behind_its_last_block() -> None:
    pool = BlockPool(64, 16)
    first = pool.allocate(5)
    second = pool.allocate(5)
    first += pool.allocate(6, after=first[-1])
    second += pool.allocate(6, after=second[-1])
    assert list(block_runs(first)) == [(0, 11)]
    assert [length for _, length in block_runs(second)] == [11]


def test_room_behind_an_old_block_is_not_kept_for_it() -> None:
    pool = BlockPool(64, 16)
    old = pool.allocate(4)
    for _ in range(4):
        pool.release(pool.allocate(4))
    assert pool.allocate(4) == [old[-1] + 1 + i for i in range(4)]


def test_a_sequence_is_divided_only_where_no_run_is_large_enough() -> None:
    pool = BlockPool(20, 16)
    pool.allocate(20)
    pool.release([*range(2, 5), *range(8, 14), *range(16, 18)])
    assert pool.allocate(6) == list(range(8, 14))
    pool.release(range(8, 14))
    assert pool.allocate(8) == [*range(8, 14), 2, 3]
    assert pool.allocate(3, after=15) == [16, 17, 4]
    assert pool.free_blocks == 0


def test_freed_neighbours_join() -> None:
    pool = BlockPool(8, 16)
    pool.allocate(8)
    for block in (1, 3, 5):
        pool.release([block])
    assert pool.free_runs == 3
    pool.release([4])
    assert pool.free_runs == 2
    pool.release([2, 0])
    assert pool.free_runs == 1
    assert sorted(pool.allocate(6)) == [0, 1, 2, 3, 4, 5]


def test_the_largest_run_is_found_after_much_growth() -> None:
    pool = BlockPool(1000, 16)
    pool.allocate(1000)
    lengths = [5, 19, 2, 11, 7, 3, 17, 13]
    for index, length in enumerate(lengths):
        pool.release(range(40 * index + 1, 40 * index + 1 + length))
    pool.release(range(500, 1000))
    sequence = pool.allocate(1)
    for _ in range(240):
        sequence += pool.allocate(1, after=sequence[-1])
        pool.check_integrity()
    assert list(block_runs(sequence)) == [(749, 241)]  # in the middle, for the rest was just taken
    assert len(pool._by_length) < 100  # what went stale was swept out
    for length in sorted(lengths, reverse=True):
        assert len(list(block_runs(pool.allocate(length)))) == 1


@pytest.mark.parametrize(
    ("blocks", "runs"),
    [
        ([], []),
        ([7], [(7, 1)]),
        ([3, 4, 5], [(3, 3)]),
        ([5, 4, 3], [(5, 1), (4, 1), (3, 1)]),
        ([0, 1, 9, 10, 2], [(0, 2), (9, 2), (2, 1)]),
    ],
)
def test_block_runs(blocks: list[int], runs: list[tuple[int, int]]) -> None:
    assert list(block_runs(blocks)) == runs


@pytest.mark.parametrize(
    "damage",
    [
        lambda pool: pool._references.__setitem__(0, 0),
        lambda pool: pool._references.__setitem__(0, -1),
        lambda pool: pool._references.__setitem__(7, 1),
        lambda pool: setattr(pool, "_free", 3),
        lambda pool: pool._length_at.clear(),
        lambda pool: pool._start_before.clear(),
        lambda pool: pool._by_length.clear(),
        lambda pool: pool._by_length.append((-9, 0)),
    ],
)
def test_check_integrity_finds_damage(damage: object) -> None:
    pool = BlockPool(8, 16)
    pool.allocate(2)
    pool.check_integrity()
    assert callable(damage)
    damage(pool)
    with pytest.raises(KVIntegrityError):
        pool.check_integrity()


class PoolMachine(RuleBasedStateMachine):
    """A pool beside a plain count of references."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = BlockPool(24, 4)
        self.counts: Counter[int] = Counter()

    @rule(count=st.integers(0, 12), data=st.data(), grow=st.booleans())
    def allocate(self, count: int, data: st.DataObject, grow: bool) -> None:
        after = data.draw(st.sampled_from(sorted(self.counts))) if grow and self.counts else None
        free = self.pool.num_blocks - len(self.counts)
        if count > free:
            with pytest.raises(KVExhaustedError):
                self.pool.allocate(count, after=after)
            return
        next_is_free = after is not None and after + 1 < 24 and after + 1 not in self.counts
        largest = max(
            (n for _, n in block_runs([b for b in range(24) if b not in self.counts])), default=0
        )
        blocks = self.pool.allocate(count, after=after)
        assert len(set(blocks)) == count and not set(blocks) & set(self.counts)
        if count and next_is_free and after is not None:
            assert blocks[0] == after + 1
        elif count <= largest:
            assert len(list(block_runs(blocks))) <= 1
        self.counts.update(blocks)

    @precondition(lambda self: self.counts)
    @rule(data=st.data())
    def retain(self, data: st.DataObject) -> None:
        blocks = data.draw(st.lists(st.sampled_from(sorted(self.counts)), max_size=6))
        self.pool.retain(blocks)
        self.counts.update(blocks)

    @precondition(lambda self: self.counts)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        blocks = data.draw(st.lists(st.sampled_from(sorted(self.counts)), max_size=12))
        released = Counter(blocks)
        if any(count > self.counts[block] for block, count in released.items()):
            with pytest.raises(KVIntegrityError):
                self.pool.release(blocks)
            return
        before = len(self.counts)
        self.counts -= released
        assert self.pool.release(blocks) == before - len(self.counts)

    @invariant()
    def agrees(self) -> None:
        self.pool.check_integrity()
        assert [self.pool.references(b) for b in range(24)] == [self.counts[b] for b in range(24)]
        self.counts = +self.counts
        assert self.pool.used_blocks == len(self.counts)


PoolMachine.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
test_any_sequence_of_calls = PoolMachine.TestCase
