"""The contract of a prefix cache, on the radix tree and on its naive twin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agentspark.errors import KVExhaustedError, KVIntegrityError
from agentspark.kv.blocks import BlockPool
from agentspark.kv.contract import PrefixCache, PrefixMatch
from agentspark.kv.naive import NaivePrefixCache
from agentspark.kv.prefix import PrefixTree

Serve = Callable[..., list[int]]
A = list(range(100, 116))  # four blocks
B = [*A[:8], *range(200, 208)]  # shares two blocks with A


def test_nothing_matches_an_empty_cache(cache: PrefixCache) -> None:
    match = cache.match(A)
    assert (match.tokens, match.blocks) == (0, ())
    assert cache.divergence(A) == 0
    assert (cache.cached_blocks, cache.evictable_blocks) == (0, 0)
    assert cache.evict(3) == cache.clear() == 0
    cache.lock(match)
    cache.unlock(match)
    cache.check_integrity({})


def test_only_whole_blocks_are_cached_and_matched(pool: BlockPool, cache: PrefixCache) -> None:
    blocks = pool.allocate(3)
    assert cache.insert(A[:11], blocks) == 8
    assert cache.cached_blocks == 2
    for asked, found in ((3, 0), (4, 4), (7, 4), (8, 8), (16, 8)):
        match = cache.match(A[:asked])
        assert (match.tokens, match.blocks) == (found, tuple(blocks[: found // 4]))
    assert cache.insert(A[:3], []) == 0
    cache.check_integrity({block: 1 for block in blocks})


def test_one_token_is_left_to_compute(pool: BlockPool, cache: PrefixCache, serve: Serve) -> None:
    serve(pool, cache, A)
    assert cache.match(A).tokens == 16
    assert cache.match(A[:-1]).tokens == 12


def test_branches_share_their_common_blocks(
    pool: BlockPool, cache: PrefixCache, serve: Serve
) -> None:
    first, second = serve(pool, cache, A), serve(pool, cache, B)
    assert second[:2] == first[:2] and not set(second[2:]) & set(first)
    assert cache.cached_blocks == pool.used_blocks == 6
    assert cache.match(A).blocks == tuple(first)
    assert cache.match(B).blocks == tuple(second)
    assert cache.match([*A[:8], *B[8:12], *A[12:]]).blocks == tuple(second[:3])
    cache.check_integrity({})


def test_equal_hashes_are_not_equal_tokens(pool: BlockPool, cache: PrefixCache) -> None:
    assert hash(-1) == hash(-2)
    blocks = pool.allocate(1)
    cache.insert([-1] * 4, blocks)
    assert cache.match([-2] * 4).tokens == 0
    assert cache.match([-1, -2, -1, -1]).tokens == 0


def test_salts_never_meet(pool: BlockPool, cache: PrefixCache, serve: Serve) -> None:
    ours, theirs = serve(pool, cache, A, salt="ours"), serve(pool, cache, A, salt="theirs")
    assert not set(ours) & set(theirs)
    assert cache.match(A, salt="ours").blocks == tuple(ours)
    assert cache.match(A).tokens == cache.divergence(A) == 0
    assert cache.divergence(A, salt="theirs") == 16
    cache.evict(4)
    assert cache.match(A, salt="ours").tokens == 16
    assert cache.match(A, salt="theirs").tokens == 0
    cache.check_integrity({})


def test_duplicates_stay_the_callers(pool: BlockPool, cache: PrefixCache, serve: Serve) -> None:
    cached = serve(pool, cache, A[:8])
    own = pool.allocate(4)
    assert cache.insert(A, own) == 8
    assert cache.match(A).blocks == (*cached, *own[2:])
    assert cache.insert(A, own) == 0
    cache.check_integrity({block: 1 for block in own})
    assert pool.release(own) == 2
    cache.check_integrity({})


def test_too_few_blocks_are_refused(pool: BlockPool, cache: PrefixCache) -> None:
    own = pool.allocate(3)
    with pytest.raises(KVIntegrityError):
        cache.insert(A, own)
    cache.check_integrity({block: 1 for block in own})
    assert cache.cached_blocks == 0


def test_free_blocks_are_not_adopted(pool: BlockPool, cache: PrefixCache, serve: Serve) -> None:
    serve(pool, cache, A)
    own = pool.allocate(4)
    pool.release(own[-1:])
    with pytest.raises(KVIntegrityError):
        cache.insert(B, own)
    assert cache.match(B).tokens == 8
    cache.check_integrity({block: 1 for block in own[:-1]})


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


@pytest.mark.parametrize(
    ("tokens", "position"),
    [
        (A, 16),
        (A[:6], 6),
        ([*A[:6], 0, *A[7:]], 6),
        ([0, *A[1:]], 0),
        ([*B, 7, 7], 16),
        ([*B[:13], 0, 0, 0], 13),
        ([*A[:8], 0], 8),
        ([*A[:8], A[8], 0], 9),
        ([*A[:8], B[8], B[9], 0, 0, 0], 10),
        ([], 0),
    ],
)
def test_divergence_is_exact_to_the_token(
    pool: BlockPool, cache: PrefixCache, serve: Serve, tokens: list[int], position: int
) -> None:
    serve(pool, cache, A)
    serve(pool, cache, B)
    assert cache.divergence(tokens) == position
    cache.check_integrity({})


def test_siblings_may_begin_alike_inside_a_block(
    pool: BlockPool, cache: PrefixCache, serve: Serve
) -> None:
    serve(pool, cache, [1, 2, 3, 4])
    serve(pool, cache, [1, 2, 3, 5])
    serve(pool, cache, [1, 2, 0, 0])
    assert cache.cached_blocks == 3
    assert cache.divergence([1, 2, 3, 9]) == 3
    assert cache.divergence([1, 2, 9]) == 2
    assert cache.match([1, 2, 3, 5]).tokens == 4


def test_a_running_request_shares_and_hands_over(pool: BlockPool, cache: PrefixCache) -> None:
    own = pool.allocate(4)
    cache.insert(A[:12], own)
    match = cache.match(A[:12])
    cache.lock(match)
    assert cache.evict(32) == 0
    pool.release(own[:3])  # held by the lock from here on
    cache.check_integrity({own[3]: 1})
    assert cache.evict(32) == 0
    sibling = cache.match(B)
    assert sibling.blocks == tuple(own[:2])
    cache.unlock(match)
    assert cache.evict(32) == 3
    assert pool.used_blocks == 1


def test_sixteen_branches_cost_little_more_than_one() -> None:
    memory = {}
    for branches in (1, 16):
        pool = BlockPool(512, 16)
        cache = PrefixTree(pool)
        held = []
        for branch in range(branches):
            tokens = [*range(2000), *range(10_000 + 100 * branch, 10_016 + 100 * branch)]
            match = cache.match(tokens[:-1])
            cache.lock(match)
            own = pool.allocate(
                126 - len(match.blocks), after=match.blocks[-1] if match.blocks else None
            )
            cache.insert(tokens, [*match.blocks, *own])
            held.append((match, own))
        memory[branches] = pool.used_blocks
        cache.check_integrity({block: 1 for _, own in held for block in own})
    assert memory == {1: 126, 16: 141}


def test_a_match_of_another_cache_is_refused(cache: PrefixCache, pool: BlockPool) -> None:
    for other in (PrefixTree(pool), NaivePrefixCache(pool)):
        foreign = other.match(A)
        for use in (cache.lock, cache.unlock):
            with pytest.raises(KVIntegrityError):
                use(foreign)
    with pytest.raises(KVIntegrityError):
        cache.lock(PrefixMatch(0, (), None))


def test_a_full_pool_serves_on_by_evicting(
    pool: BlockPool, cache: PrefixCache, serve: Serve
) -> None:
    for number in range(40):
        tokens = [*A[:8], *range(1000 * number, 1000 * number + 24)]
        assert len(serve(pool, cache, tokens)) == 8
        cache.check_integrity({})
        assert cache.match(tokens).tokens == 32
    assert cache.match(A).tokens == 8  # every request used it, so it stayed
    assert pool.free_blocks == 0
    match = cache.match(tokens)
    cache.lock(match)
    with pytest.raises(KVExhaustedError):
        serve(pool, cache, list(range(30 * 4)))


def test_check_integrity_compares_references(
    pool: BlockPool, cache: PrefixCache, serve: Serve
) -> None:
    blocks = serve(pool, cache, A)
    pool.retain(blocks[:1])
    cache.check_integrity()
    cache.check_integrity({blocks[0]: 1})
    with pytest.raises(KVIntegrityError):
        cache.check_integrity({})
    pool.release([blocks[0], blocks[0]])
    with pytest.raises(KVIntegrityError):
        cache.check_integrity()
