"""What a prefix cache promises; the radix tree and its naive twin in the tests both keep it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PrefixMatch:
    """The longest cached prefix of some tokens: ``tokens`` of them, stored in ``blocks``.

    ``tokens`` is a multiple of the block size. ``handle`` belongs to the cache that made the match.
    Two matches are equal when they name the same blocks.
    """

    tokens: int
    blocks: tuple[int, ...]
    handle: object = field(repr=False, compare=False)


class PrefixCache(Protocol):
    """Shares the KV blocks of common prefixes; keyed by content (token ids compared, not hashes).

    Only whole blocks are cached. Entries under different salts never meet.

    Who holds a reference to a block, and from when to when:

    - **The cache** holds one reference to each cached block, from the ``insert`` that adopted it
      to the ``evict`` or ``clear`` that drops it.
    - **A lock** holds one reference to each block of its match, from ``lock`` to ``unlock``, and
      keeps the whole path from eviction for that time. It is the caller's to end.
    - **The caller** keeps the reference that ``BlockPool.allocate`` gave it until it calls
      ``release``. ``insert`` neither takes nor ends it, also where the tokens were already cached
      under other blocks (the caller's are then duplicates, unknown to the cache).
    - **A match** holds nothing. Lock it before the next ``evict``, ``clear`` or release.

    A request therefore goes::

        match = cache.match(prompt[:-1])    # one token is always left to compute
        cache.lock(match)
        own = pool.allocate(needed, after=match.blocks[-1] if match.blocks else None)
        ...                                 # run; its table is match.blocks + own
        cache.insert(tokens, [*match.blocks, *own])
        pool.release(own)
        cache.unlock(match)

    A request may also insert while it still runs, so that others share its blocks at once; they
    stay cached for as long as it holds them.

    Least recently used: ``match``, ``insert`` and ``unlock`` count as a use of every block on
    their path, in the order of the calls; ``divergence`` does not count. Not thread-safe.
    """

    @property
    def cached_blocks(self) -> int:
        """Blocks the cache holds a reference to."""
        ...

    @property
    def evictable_blocks(self) -> int:
        """Cached blocks that no lock protects.

        An upper bound of what ``evict`` can free: blocks that callers hold without a lock count.
        """
        ...

    def match(self, tokens: Sequence[int], *, salt: str | None = None) -> PrefixMatch:
        """The longest cached prefix of ``tokens`` in whole blocks; may be empty.

        Nothing is kept back: a caller that needs logits passes ``tokens[:-1]``, so that at least
        one token is left to compute.
        """
        ...

    def lock(self, match: PrefixMatch) -> None:
        """Protect the match from eviction and give the caller a reference to each of its blocks.

        A match may be locked several times. Raises ``KVIntegrityError`` if part of it was evicted
        since it was made; nothing changes then.
        """
        ...

    def unlock(self, match: PrefixMatch) -> None:
        """End one lock: drop its references; the path becomes the most recently used.

        Raises ``KVIntegrityError`` if this match is not locked.
        """
        ...

    def insert(
        self, tokens: Sequence[int], blocks: Sequence[int], *, salt: str | None = None
    ) -> int:
        """Cache the whole blocks of ``tokens``; return how many tokens are newly cached.

        ``blocks`` stores ``tokens`` from their first one on, the matched part included; what lies
        beyond the whole blocks (an unfinished block, room ahead) is ignored. Adopted blocks must
        not be written again.
        """
        ...

    def evict(self, count: int) -> int:
        """Drop the least recently used blocks that only the cache holds, ends of branches first.

        Stops once ``count`` blocks became free in the pool, or when nothing can be evicted, and
        returns their number. Blocks that a lock or a caller holds stay cached (dropping them would
        free nothing), and so does what they extend.

        Ask for more than is missing (an eighth of the pool, say): large evictions leave large free
        runs, in which the next sequences lie in one piece.
        """
        ...

    def divergence(self, tokens: Sequence[int], *, salt: str | None = None) -> int:
        """The first position at which ``tokens`` part from everything cached under ``salt``.

        To the token, also inside a block; ``len(tokens)`` if they never do. Since a sequence's
        unfinished last block is not cached, tokens that extend a cached sequence part from it at
        the end of its last whole block.
        """
        ...

    def clear(self) -> int:
        """Drop every unlocked block; return how many became free. Locked paths stay."""
        ...

    def check_integrity(self, outstanding: Mapping[int, int] | None = None) -> None:
        """Raise ``KVIntegrityError`` if the structure contradicts itself or the pool.

        ``outstanding`` gives, by block, the references that callers hold apart from locks; with
        it the pool's counts must agree exactly, without it they must be at least the cache's own.
        """
        ...
