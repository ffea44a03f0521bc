"""Locks and eviction of a prefix cache, on the radix tree and on its naive twin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agentspark.errors import KVIntegrityError
from agentspark.kv.blocks import BlockPool
from agentspark.kv.contract import PrefixCache

Serve = Callable[..., list[int]]
A = list(range(100, 116))  # four blocks
B = [*A[:8], *range(200, 208)]  # shares two blocks with A


def test_a_lock_holds_blocks_and_keeps_them(
    pool: BlockPool, cache: PrefixCache, serve: Serve
) -> None:
    blocks = serve(pool, cache, A)
    match = cache.match(A[:8])
    cache.lock(match)
    assert [pool.references(block) for block in blocks] == [2, 2, 1, 1]
    assert cache.evictable_blocks == 2
    assert cache.evict(4) == 2
    assert cache.clear() == 0
    assert cache.match(A).blocks == match.blocks
    cache.lock(match)
    cache.unlock(match)
    assert cache.evictable_blocks == 0
    cache.check_integrity({})
    cache.unlock(match)
    assert cache.evictable_blocks == 2
    assert cache.clear() == 2
    assert pool.free_blocks == pool.num_blocks
    cache.check_integrity({})


def test_a_locked_branch_does_not_protect_its_sibling(
    pool: BlockPool, cache: PrefixCache, serve: Serve
) -> None:
    serve(pool, cache, A)
    serve(pool, cache, B)
    match = cache.match(B)
    cache.lock(match)
    serve(pool, cache, A)  # now the most recently used
    assert cache.evictable_blocks == 2
    assert cache.evict(10) == 2
    assert cache.match(A).tokens == 8
    assert cache.match(B).blocks == match.blocks


def test_locks_end_once(cache: PrefixCache, pool: BlockPool, serve: Serve) -> None:
    serve(pool, cache, A)
    match, same = cache.match(A), cache.match(A)
    assert match == same
    cache.lock(match)
    with pytest.raises(KVIntegrityError):
        cache.unlock(same)  # another match of the same prefix does not end this lock
    cache.unlock(match)
    with pytest.raises(KVIntegrityError):
        cache.unlock(match)
    empty = cache.match([1])
    with pytest.raises(KVIntegrityError):
        cache.unlock(empty)
    cache.check_integrity({})


@pytest.mark.parametrize("evicted", [1, 2, 4])
@pytest.mark.parametrize("again", [False, True])
def test_a_match_that_was_evicted_cannot_be_locked(
    pool: BlockPool, cache: PrefixCache, serve: Serve, evicted: int, again: bool
) -> None:
    serve(pool, cache, A)
    whole, half = cache.match(A), cache.match(A[:8])
    assert cache.evict(evicted) == evicted
    if again:
        serve(pool, cache, A)
    with pytest.raises(KVIntegrityError):
        cache.lock(whole)
    with pytest.raises(KVIntegrityError):
        cache.unlock(whole)
    if evicted <= 2:
        cache.lock(half)
        cache.unlock(half)
    else:
        with pytest.raises(KVIntegrityError):
            cache.lock(half)
    cache.check_integrity({})


def test_a_lock_survives_a_split(pool: BlockPool, cache: PrefixCache, serve: Serve) -> None:
    serve(pool, cache, A)
    match = cache.match(A)
    cache.lock(match)
    serve(pool, cache, B)  # parts from A in the middle
    cache.match(A[:4])
    cache.check_integrity({})
    assert cache.evict(32) == 2
    cache.unlock(match)
    assert cache.evict(32) == 4
    cache.check_integrity({})


def test_eviction_is_least_recently_used_from_the_ends(
    pool: BlockPool, cache: PrefixCache, serve: Serve
) -> None:
    c = list(range(300, 308))
    serve(pool, cache, A)
    serve(pool, cache, B)
    serve(pool, cache, c)
    cache.match(A)  # a match is a use ...
    cache.divergence(B)  # ... and a look is not

    def left() -> tuple[int, ...]:
        return tuple(cache.divergence(tokens) for tokens in (A, B, c))

    seen = [left()]
    while cache.evict(1):
        cache.check_integrity({})
        seen.append(left())
    assert seen == [
        (16, 16, 8),
        (16, 12, 8),
        (16, 8, 8),
        (16, 8, 4),
        (16, 8, 0),
        (12, 8, 0),
        (8, 8, 0),
        (4, 4, 0),
        (0, 0, 0),
    ]


def test_unlocking_is_a_use(pool: BlockPool, cache: PrefixCache, serve: Serve) -> None:
    serve(pool, cache, A)
    match = cache.match(A)
    cache.lock(match)
    other = list(range(300, 308))
    serve(pool, cache, other)
    cache.unlock(match)
    assert cache.evict(2) == 2
    assert (cache.divergence(A), cache.divergence(other)) == (16, 0)


def test_evict_frees_what_was_asked_and_no_more(
    pool: BlockPool, cache: PrefixCache, serve: Serve
) -> None:
    serve(pool, cache, A)
    serve(pool, cache, B)
    assert cache.evict(0) == 0
    assert cache.evict(3) == 3
    assert cache.cached_blocks == pool.used_blocks == 3
    assert cache.evict(30) == 3
    assert pool.free_blocks == pool.num_blocks


def test_blocks_that_callers_hold_are_not_evicted(
    pool: BlockPool, cache: PrefixCache, serve: Serve
) -> None:
    blocks = serve(pool, cache, A)
    other = list(range(300, 308))
    serve(pool, cache, other)
    pool.retain(blocks[1:3])
    assert cache.evict(32) == 3  # the end of A, and the other
    assert cache.match(A).blocks == tuple(blocks[:3])
    assert cache.evict(32) == 0  # the first block is nobody's, but what extends it is held
    cache.check_integrity({blocks[1]: 1, blocks[2]: 1})
    pool.release(blocks[1:3])
    assert cache.evict(32) == 3
    cache.check_integrity({})


def test_what_a_held_block_extends_is_not_evicted(
    pool: BlockPool, cache: PrefixCache, serve: Serve
) -> None:
    serve(pool, cache, A[:8])
    blocks = serve(pool, cache, A)
    pool.retain(blocks[3:])
    assert cache.evict(32) == 0
    assert cache.match(A).blocks == tuple(blocks)
    cache.check_integrity({blocks[3]: 1})


def test_passing_over_held_blocks_keeps_the_order(
    pool: BlockPool, cache: PrefixCache, serve: Serve
) -> None:
    sequences = [list(range(100 * n, 100 * n + 8)) for n in range(1, 5)]
    blocks = [serve(pool, cache, tokens) for tokens in sequences]
    pool.retain([*blocks[0], *blocks[2]])

    def left() -> list[int]:
        return [cache.divergence(tokens) for tokens in sequences]

    assert cache.evict(3) == 3
    assert left() == [8, 0, 8, 4]
    pool.release([*blocks[0], *blocks[2]])
    cache.check_integrity({})
    assert cache.evict(3) == 3
    assert left() == [0, 0, 4, 4]


def test_clear_drops_what_callers_hold_without_a_lock(
    pool: BlockPool, cache: PrefixCache, serve: Serve
) -> None:
    blocks = serve(pool, cache, A)
    pool.retain(blocks[1:])
    assert cache.clear() == 1
    assert cache.cached_blocks == 0
    cache.check_integrity({block: 1 for block in blocks[1:]})
    assert cache.insert(A, [*pool.allocate(1), *blocks[1:]]) == 16


def test_clear_keeps_locked_paths(pool: BlockPool, cache: PrefixCache, serve: Serve) -> None:
    serve(pool, cache, A)
    serve(pool, cache, B)
    serve(pool, cache, A, salt="other")
    match = cache.match(B[:12])
    cache.lock(match)
    assert cache.clear() == 7
    assert cache.cached_blocks == 3
    assert cache.match(B).blocks == match.blocks
    cache.unlock(match)
    assert cache.clear() == 3
    cache.check_integrity({})
