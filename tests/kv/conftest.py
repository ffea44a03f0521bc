"""Prefix caches on a small pool, and the way a request uses them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from agentspark.kv.blocks import BlockPool
from agentspark.kv.contract import PrefixCache
from agentspark.kv.prefix import PrefixTree
from tests.kv.naive import NaivePrefixCache

Serve = Callable[..., list[int]]


@pytest.fixture
def pool() -> BlockPool:
    """Thirty-two blocks of four tokens."""
    return BlockPool(32, 4)


@pytest.fixture(params=[PrefixTree, NaivePrefixCache])
def cache(request: pytest.FixtureRequest, pool: BlockPool) -> PrefixCache:
    """Either prefix cache on ``pool``."""
    made: PrefixCache = request.param(pool)
    return made


@pytest.fixture
def serve() -> Serve:
    """Serve tokens the way a request does and leave them cached; gives their whole blocks."""
    return serve_request


def serve_request(
    pool: BlockPool, cache: PrefixCache, tokens: Sequence[int], *, salt: str | None = None
) -> list[int]:
    match = cache.match(tokens[:-1], salt=salt)
    cache.lock(match)
    needed = -(-len(tokens) // pool.block_tokens) - len(match.blocks)
    if needed > pool.free_blocks:
        cache.evict(needed - pool.free_blocks)
    own = pool.allocate(needed, after=match.blocks[-1] if match.blocks else None)
    blocks = [*match.blocks, *own]
    cache.insert(tokens, blocks, salt=salt)
    pool.release(own)
    cache.unlock(match)
    return blocks[: len(tokens) // pool.block_tokens]
