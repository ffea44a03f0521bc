"""The block pool: which KV blocks are free, and how many hold a reference to each."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence

from agentspark.errors import ConfigError, KVExhaustedError, KVIntegrityError

_RECENT_SHARE = 16


class BlockPool:
    """Reference-counted block numbers ``0 .. num_blocks - 1``; no tensors.

    A block holds ``block_tokens`` tokens. It is used from ``allocate`` until the last of its
    references is released; what it stores is the KV store's affair.

    Placement. A reader gets a sequence as one zero-copy view where its blocks are consecutive, so
    the pool tries to keep sequences in few runs:

    1. With ``after``, the free run that begins right behind that block is taken first.
    2. Otherwise (or for the rest) the largest free run is taken, from its start; but if the block
       before that run was taken recently (among the last sixteenth of the pool's blocks to be
       taken), whoever has it may still grow, so that half of what remains is left in between.
    3. Only when no run is large enough is a sequence divided, over the largest runs first.

    While the pool has room, growing sequences then stay in one run each, also several at a time.
    In a full pool they are as long as the runs that eviction frees: callers should take room
    ahead (prompt and expected output in one call) and evict much at a time (an eighth of the pool
    rather than the one block that is missing).

    Cost: ``allocate`` and ``release`` take O(log r) steps for each run they touch plus O(1) for
    each block they move, ``r`` being the number of free runs; never O(num_blocks).
    Not thread-safe: the engine's loop thread owns it.
    """

    def __init__(self, num_blocks: int, block_tokens: int) -> None:
        if num_blocks < 1 or block_tokens < 1:
            raise ConfigError(
                f"A KV pool of {num_blocks} blocks of {block_tokens} tokens cannot be made: "
                "give at least one of each."
            )
        self._num_blocks = num_blocks
        self._block_tokens = block_tokens
        self._references = [0] * num_blocks
        # The pool's clock counts blocks taken; per block, when it was last taken.
        self._clock = 0
        self._taken_at = [-num_blocks] * num_blocks
        self._free = num_blocks
        # Maximal free runs, by first block and by the block after their last.
        self._length_at: dict[int, int] = {}
        self._start_before: dict[int, int] = {}
        # (-length, start); an entry is stale unless `_length_at` agrees with it.
        self._by_length: list[tuple[int, int]] = []
        self._add_run(0, num_blocks)

    @property
    def num_blocks(self) -> int:
        """All blocks, free or used."""
        return self._num_blocks

    @property
    def block_tokens(self) -> int:
        """Tokens per block."""
        return self._block_tokens

    @property
    def free_blocks(self) -> int:
        """Blocks nobody references."""
        return self._free

    @property
    def used_blocks(self) -> int:
        """Blocks with at least one reference."""
        return self._num_blocks - self._free

    @property
    def free_runs(self) -> int:
        """Maximal runs of consecutive free blocks: how fragmented the pool is."""
        return len(self._length_at)

    @property
    def largest_run(self) -> int:
        """The most blocks that can be had in one run."""
        return self._largest_run()[1] if self._length_at else 0

    def free_after(self, block: int) -> int:
        """How many blocks right behind ``block`` are free, in one run."""
        return self._length_at.get(block + 1, 0)

    def references(self, block: int) -> int:
        """How many references ``block`` has; 0 means free."""
        self._check_number(block)
        return self._references[block]

    def allocate(self, count: int, *, after: int | None = None) -> list[int]:
        """Take ``count`` free blocks, each with one reference that the caller owns.

        ``after`` is the last block of the sequence that grows. The blocks come in the order in
        which the sequence should fill them. Raises ``KVExhaustedError`` and takes nothing if
        fewer than ``count`` are free.
        """
        if count < 0:
            raise KVIntegrityError(f"Cannot allocate {count} blocks: the count is negative.")
        if after is not None and self.references(after) == 0:
            raise KVIntegrityError(f"Cannot grow a sequence after block {after}: it is free.")
        if count > self._free:
            raise KVExhaustedError(
                f"{count} KV blocks are needed and {self._free} of {self._num_blocks} are free: "
                "evict cached prefixes, preempt a request, or start with a larger kv_tokens."
            )
        taken: list[int] = []
        if after is not None and count and after + 1 in self._length_at:
            self._take(after + 1, 0, min(count, self._length_at[after + 1]), taken)
        while len(taken) < count:
            missing = count - len(taken)
            start, length = self._largest_run()
            count_here = min(missing, length)
            offset = (length - count_here) // 2 if self._may_grow_into(start) else 0
            self._take(start, offset, count_here, taken)
        return taken

    def retain(self, blocks: Iterable[int]) -> None:
        """Add a reference to each of ``blocks``, all of which must be in use."""
        blocks = list(blocks)
        for block in blocks:
            if not 0 <= block < self._num_blocks or self._references[block] == 0:
                raise KVIntegrityError(f"Cannot retain block {block}: nobody holds it.")
        for block in blocks:
            self._references[block] += 1

    def release(self, blocks: Iterable[int]) -> int:
        """Drop one reference from each of ``blocks``; return how many became free.

        A block named twice loses two references. Releasing more than there are raises
        ``KVIntegrityError`` and changes nothing.
        """
        blocks = list(blocks)
        references = self._references
        freed: list[int] = []
        for done, block in enumerate(blocks):
            if not 0 <= block < self._num_blocks or references[block] == 0:
                for undo in blocks[:done]:
                    references[undo] += 1
                raise KVIntegrityError(f"Cannot release block {block}: nobody holds it.")
            references[block] -= 1
            if references[block] == 0:
                freed.append(block)
        self._free += len(freed)
        for start, length in block_runs(freed):
            self._add_run(start, length)
        return len(freed)

    def check_integrity(self) -> None:
        """Raise ``KVIntegrityError`` if counts and free runs disagree. O(num_blocks), for tests."""
        free = [block for block, count in enumerate(self._references) if count == 0]
        if any(count < 0 for count in self._references):
            raise KVIntegrityError("A block has a negative reference count.")
        if len(free) != self._free:
            raise KVIntegrityError(f"{len(free)} blocks are free but {self._free} are counted.")
        runs = dict(block_runs(free))
        if runs != self._length_at:
            raise KVIntegrityError(f"Free runs are {runs} but {self._length_at} are recorded.")
        if {start + length: start for start, length in runs.items()} != self._start_before:
            raise KVIntegrityError("The ends of the free runs are not recorded correctly.")
        if missing := {(-n, start) for start, n in runs.items()} - set(self._by_length):
            raise KVIntegrityError(f"Free runs are missing from the heap: {sorted(missing)}.")
        heap = self._by_length
        if any(heap[(index - 1) // 2] > heap[index] for index in range(1, len(heap))):
            raise KVIntegrityError("The heap of free runs is out of order.")

    def _take(self, start: int, offset: int, count: int, taken: list[int]) -> None:
        """Move ``count`` blocks at ``offset`` of the free run at ``start`` into ``taken``."""
        length = self._length_at.pop(start)
        del self._start_before[start + length]
        first = start + offset
        self._free -= count
        self._clock += count
        for block in range(first, first + count):
            self._references[block] = 1
            self._taken_at[block] = self._clock
            taken.append(block)
        if offset:
            self._record_run(start, offset)
        if rest := length - offset - count:
            self._record_run(first + count, rest)

    def _may_grow_into(self, start: int) -> bool:
        """Whether the block before the free run at ``start`` was taken recently."""
        if start == 0:
            return False
        return self._clock - self._taken_at[start - 1] < self._num_blocks / _RECENT_SHARE

    def _add_run(self, start: int, length: int) -> None:
        """Add a free run, joining it with the free runs that touch it."""
        end = start + length
        if end in self._length_at:
            behind = self._length_at.pop(end)
            end += behind
        if start in self._start_before:
            before = self._start_before.pop(start)
            del self._length_at[before]
            start = before
        self._record_run(start, end - start)

    def _record_run(self, start: int, length: int) -> None:
        self._length_at[start] = length
        self._start_before[start + length] = start
        heapq.heappush(self._by_length, (-length, start))
        if len(self._by_length) > 64 + 2 * len(self._length_at):
            self._by_length = [(-n, first) for first, n in self._length_at.items()]
            heapq.heapify(self._by_length)

    def _largest_run(self) -> tuple[int, int]:
        """Start and length of the largest free run (the first of equals)."""
        heap = self._by_length
        while self._length_at.get(heap[0][1]) != -heap[0][0]:
            heapq.heappop(heap)
        return heap[0][1], -heap[0][0]

    def _check_number(self, block: int) -> None:
        if not 0 <= block < self._num_blocks:
            raise KVIntegrityError(f"There is no block {block} in a pool of {self._num_blocks}.")


def block_runs(blocks: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Split ``blocks``, in their order, into runs ``(start, length)`` of consecutive numbers."""
    start = 0
    for index in range(1, len(blocks) + 1):
        if index == len(blocks) or blocks[index] != blocks[index - 1] + 1:
            yield blocks[start], index - start
            start = index
