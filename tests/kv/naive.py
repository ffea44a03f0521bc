"""The naive twin of the prefix tree: the same contract by plain scans, to hold the tree against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agentspark.errors import KVIntegrityError
from agentspark.kv.blocks import BlockPool
from agentspark.kv.contract import PrefixMatch
from agentspark.kv.integrity import check_references

_Key = tuple[str | None, tuple[int, ...]]


@dataclass(slots=True, eq=False)
class _Entry:
    """One cached block; its key is the salt and all tokens up to the block's end."""

    key: _Key
    block: int
    locks: int = 0
    last_used: int = 0


@dataclass(slots=True, eq=False)
class _Hold:
    owner: NaivePrefixCache
    entries: list[_Entry]
    locks: int = 0


class NaivePrefixCache:
    """A ``PrefixCache`` with one entry per block and no structure; quadratic, and easy to trust."""

    def __init__(self, pool: BlockPool) -> None:
        self._pool = pool
        self._entries: dict[_Key, _Entry] = {}
        self._clock = 0

    @property
    def cached_blocks(self) -> int:
        """Blocks the cache holds a reference to."""
        return len(self._entries)

    @property
    def evictable_blocks(self) -> int:
        """Cached blocks that no lock protects."""
        return sum(entry.locks == 0 for entry in self._entries.values())

    def match(self, tokens: Sequence[int], *, salt: str | None = None) -> PrefixMatch:
        """The longest cached prefix of ``tokens`` in whole blocks; may be empty."""
        entries: list[_Entry] = []
        for key in self._keys(tokens, salt):
            if key not in self._entries:
                break
            entries.append(self._entries[key])
        self._use(entries)
        blocks = tuple(entry.block for entry in entries)
        return PrefixMatch(len(blocks) * self._pool.block_tokens, blocks, _Hold(self, entries))

    def lock(self, match: PrefixMatch) -> None:
        """Protect the match from eviction; the caller gains a reference to each of its blocks."""
        hold = self._hold(match)
        if any(self._entries.get(entry.key) is not entry for entry in hold.entries):
            raise KVIntegrityError("A match was locked after part of it was evicted.")
        self._pool.retain(match.blocks)
        hold.locks += 1
        for entry in hold.entries:
            entry.locks += 1

    def unlock(self, match: PrefixMatch) -> None:
        """End one lock: drop its references; the path becomes the most recently used."""
        hold = self._hold(match)
        if hold.locks == 0:
            raise KVIntegrityError("A match was unlocked but not locked.")
        hold.locks -= 1
        for entry in hold.entries:
            entry.locks -= 1
        self._use(hold.entries)
        self._pool.release(match.blocks)

    def insert(
        self, tokens: Sequence[int], blocks: Sequence[int], *, salt: str | None = None
    ) -> int:
        """Cache the whole blocks of ``tokens``; return how many tokens are newly cached."""
        keys = self._keys(tokens, salt)
        if len(blocks) < len(keys):
            raise KVIntegrityError(f"{len(keys)} blocks are needed, {len(blocks)} were given.")
        fresh = [
            (key, block)
            for key, block in zip(keys, blocks, strict=False)
            if key not in self._entries
        ]
        self._pool.retain(block for _, block in fresh)
        for key, block in fresh:
            self._entries[key] = _Entry(key, block)
        self._use([self._entries[key] for key in keys])
        return len(fresh) * self._pool.block_tokens

    def evict(self, count: int) -> int:
        """Drop the least recently used unlocked blocks until ``count`` became free."""
        freed = 0
        while freed < count and (entry := self._oldest_leaf()) is not None:
            freed += self._drop(entry)
        return freed

    def clear(self) -> int:
        """Drop every unlocked block; return how many became free. Locked paths stay."""
        idle = [entry for entry in self._entries.values() if entry.locks == 0]
        return sum(self._drop(entry) for entry in idle)

    def divergence(self, tokens: Sequence[int], *, salt: str | None = None) -> int:
        """The first position at which ``tokens`` part from everything cached under ``salt``."""
        longest = 0
        for key_salt, cached in self._entries:
            if key_salt == salt:
                common = 0
                while common < min(len(cached), len(tokens)) and cached[common] == tokens[common]:
                    common += 1
                longest = max(longest, common)
        return longest

    def check_integrity(self, outstanding: Mapping[int, int] | None = None) -> None:
        """Raise ``KVIntegrityError`` if the entries contradict each other or the pool."""
        held: Counter[int] = Counter()
        size = self._pool.block_tokens
        for (salt, tokens), entry in self._entries.items():
            if len(tokens) > size:
                parent = self._entries.get((salt, tokens[:-size]))
                if parent is None or parent.locks < entry.locks:
                    raise KVIntegrityError(f"The entry of block {entry.block} has lost its parent.")
            if entry.block in held:
                raise KVIntegrityError(f"Block {entry.block} is cached twice.")
            held[entry.block] = 1 + entry.locks
        check_references(self._pool, held, outstanding)
        self._pool.check_integrity()

    def _keys(self, tokens: Sequence[int], salt: str | None) -> list[_Key]:
        size = self._pool.block_tokens
        return [(salt, tuple(tokens[:end])) for end in range(size, len(tokens) + 1, size)]

    def _oldest_leaf(self) -> _Entry | None:
        size = self._pool.block_tokens
        parents = {(salt, tokens[:-size]) for salt, tokens in self._entries}
        leaves = [
            entry
            for key, entry in self._entries.items()
            if key not in parents and self._pool.references(entry.block) == 1
        ]
        # Equal `last_used` means one path, and a path has one end: there are no ties.
        return min(leaves, key=lambda entry: entry.last_used, default=None)

    def _drop(self, entry: _Entry) -> int:
        del self._entries[entry.key]
        return self._pool.release([entry.block])

    def _use(self, entries: list[_Entry]) -> None:
        self._clock += 1
        for entry in entries:
            entry.last_used = self._clock

    def _hold(self, match: PrefixMatch) -> _Hold:
        if not isinstance(match.handle, _Hold) or match.handle.owner is not self:
            raise KVIntegrityError("A match was given to a prefix cache that did not make it.")
        return match.handle
