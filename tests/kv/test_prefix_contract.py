"""The contract of a prefix cache, on the radix tree and on its naive twin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agentspark.errors import KVExhaustedError, KVIntegrityError
from agentspark.kv.blocks import BlockPool
from agentspark.kv.contract import PrefixCache, PrefixMatch
from agentspark.kv.prefix import PrefixTree
from tests.kv.naive import NaivePrefixCache

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
