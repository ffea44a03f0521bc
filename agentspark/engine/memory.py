"""Who holds which KV blocks: admission, growth, sharing, release."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq

from agentspark.engine.sequence import Sequence
from agentspark.errors import KVExhaustedError
from agentspark.kv.blocks import BlockPool, block_runs
from agentspark.kv.contract import PrefixCache

# Tokens of output that a sequence gets blocks for when it is admitted.
_ROOM_AHEAD = 256

# Copies what some blocks hold to the blocks from a number on.
CopyBlocks = Callable[[Seq[int], int], None]


class KVMemory:
    """The pool and the prefix cache on behalf of running sequences.

    A sequence holds a lock on its match and one reference to each block of its own, from
    ``admit``/``grow`` to ``release``; the cache holds its own references from ``publish`` on.

    ``copy`` says that sequences read faster where they lie in one run (on a CPU, which must join
    several at every step and layer). A prefix that cannot be extended where it lies is then copied
    once, before its own blocks, if it is no longer than what will follow it: a system prompt is,
    a long context that branches share stays shared in memory too.
    """

    def __init__(self, pool: BlockPool, cache: PrefixCache, copy: CopyBlocks | None = None) -> None:
        self.pool = pool
        self.cache = cache
        self._copy = copy

    @property
    def capacity(self) -> int:
        """Tokens the whole pool holds."""
        return self.pool.num_blocks * self.pool.block_tokens

    def admit(self, sequence: Sequence) -> None:
        """Give a sequence its cached prefix and blocks for its tokens.

        One that starts a new prefix gets room for its output too, where there is some to spare:
        that keeps it in one run of blocks while others grow beside it. Branches of a shared prefix
        take no more than they need. Raises ``KVExhaustedError`` and changes
        nothing if not even that is there.
        """
        tokens = len(sequence.tokens)
        ahead = tokens + min(sequence.output.remaining, _ROOM_AHEAD)
        if sequence.namespace is not None:
            match = self.cache.match(sequence.tokens[:-1], salt=sequence.namespace)
            self.cache.lock(match)
            sequence.match = match
            sequence.blocks = list(match.blocks)
            sequence.computed = match.tokens
            if match.blocks and self._copy is not None:
                self._lie_in_one_run(sequence, -(-ahead // self.pool.block_tokens), self._copy)
        try:
            spare = self.pool.free_blocks - self.pool.num_blocks // 8
            fits = -(-ahead // self.pool.block_tokens) <= spare and not sequence.blocks
            self.grow(sequence, ahead if fits else tokens + 1)
        except KVExhaustedError:
            self.release(sequence)
            raise

    def _lie_in_one_run(self, sequence: Sequence, blocks: int, copy: CopyBlocks) -> None:
        """Move a sequence that is only its prefix so far to where ``blocks`` blocks are free.

        It stays where it is if it can grow there, if it is the larger part, if the copies would
        take half of the pool from what is cached, or if no run is long enough.
        """
        prefix = sequence.blocks
        if 2 * len(prefix) > blocks:
            return
        joined = len(list(block_runs(prefix))) == 1
        if joined and self.pool.free_after(prefix[-1]) >= blocks - len(prefix):
            return
        spare = self.pool.free_blocks + self.cache.evictable_blocks - self.pool.num_blocks // 2
        if blocks > spare:
            return
        if blocks > self.pool.largest_run:
            self.cache.evict(max(blocks, self.pool.num_blocks // 8))
        if blocks > self.pool.largest_run:
            return
        own = self.pool.allocate(blocks)
        copy(prefix, own[0])
        assert sequence.match is not None
        self.cache.unlock(sequence.match)
        sequence.match, sequence.blocks = None, own

    def grow(self, sequence: Sequence, tokens: int) -> None:
        """Make the block table cover ``tokens`` tokens; evicts cached prefixes if need be.

        Raises ``KVExhaustedError`` and takes nothing if there are not enough blocks.
        """
        missing = -(-tokens // self.pool.block_tokens) - len(sequence.blocks)
        if missing <= 0:
            return
        short = missing - self.pool.free_blocks
        if short > self.cache.evictable_blocks:
            raise KVExhaustedError(
                f"{missing} KV blocks are needed, {self.pool.free_blocks} are free and "
                f"{self.cache.evictable_blocks} can be freed."
            )
        if short > 0:
            # More than is missing: large evictions leave large runs for the next sequences.
            self.cache.evict(max(short, self.pool.num_blocks // 8))
        after = sequence.blocks[-1] if sequence.blocks else None
        sequence.blocks.extend(self.pool.allocate(missing, after=after))

    def room(self, sequence: Sequence, drafts: int) -> int:
        """How many of ``drafts`` positions behind the anchor a sequence gets blocks for."""
        try:
            self.grow(sequence, sequence.computed + 1 + drafts)
        except KVExhaustedError:
            have = len(sequence.blocks) * self.pool.block_tokens
            return max(have - sequence.computed - 1, 0)
        return drafts

    def cached_prefix(self, sequence: Sequence) -> int:
        """Tokens of a waiting sequence that the cache could give it now."""
        if sequence.namespace is None:
            return 0
        return self.cache.match(sequence.tokens[:-1], salt=sequence.namespace).tokens

    def publish(self, sequence: Sequence) -> None:
        """Leave the computed whole blocks of a sequence in the cache."""
        if sequence.namespace is not None:
            done = sequence.tokens[: sequence.computed]
            self.cache.insert(done, sequence.blocks, salt=sequence.namespace)

    def release(self, sequence: Sequence) -> None:
        """Take everything back from a sequence; what it published stays cached."""
        shared = len(sequence.match.blocks) if sequence.match is not None else 0
        self.pool.release(sequence.blocks[shared:])
        if sequence.match is not None:
            self.cache.unlock(sequence.match)
        sequence.match = None
        sequence.blocks = []
        sequence.computed = 0
