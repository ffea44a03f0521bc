"""Bounded indexes of token sequences: one request's own, and what a scope shares."""

from __future__ import annotations

from collections.abc import Sequence

from agentspark.drafting.ngrams import MAX_MATCH, SEPARATOR, Match, NgramTable

_CHUNK = 64


class SuffixIndex:
    """N-gram index of bounded memory: when the young table is full, the old one is dropped.

    Holds between ``capacity`` and twice as many of the latest tokens. Extending is amortised
    O(1) without rebuilding; not thread-safe.
    """

    __slots__ = ("_capacity", "_old", "_young", "generation")

    def __init__(self, capacity: int = 32768) -> None:
        self._capacity = max(capacity, 4 * MAX_MATCH)
        self._old: NgramTable | None = None
        self._young = NgramTable()
        self.generation = 0
        """How many times tokens were dropped."""

    def __len__(self) -> int:
        return len(self._young) + (len(self._old) if self._old is not None else 0)

    def extend(self, token_ids: Sequence[int]) -> None:
        """Append tokens that follow the ones before."""
        start = 0
        while start < len(token_ids):
            room = self._capacity - len(self._young)
            if room <= 0:
                self._rotate()
                continue
            self._young.extend(token_ids[start : start + room])
            start += room

    def separate(self) -> None:
        """End the sequence: what is appended next does not continue it."""
        if len(self._young) and self._young.tokens[-1] != SEPARATOR:
            self._young.extend([SEPARATOR])

    def propose(self, context_tail: Sequence[int], max_tokens: int) -> Match | None:
        """The best continuation of the last tokens of a request, of at most ``max_tokens``."""
        if max_tokens < 1:
            return None
        match = self._young.find(context_tail, max_tokens)
        if self._old is not None and (match is None or match.length < MAX_MATCH):
            older = self._old.find(context_tail, max_tokens)
            if older is not None and (match is None or older.length > match.length):
                return older
        return match

    def _rotate(self) -> None:
        full = self._young
        carried = full.tokens[-MAX_MATCH:]
        self._old, self._young = full, NgramTable(full.first + len(full) - len(carried))
        self._young.extend(carried)
        self.generation += 1


class SharedTokens:
    """What the requests of one scope share: each token sequence indexed once."""

    def __init__(self, capacity: int) -> None:
        self.index = SuffixIndex(capacity)
        self._known: set[int] = set()
        self._generation = 0

    def add(self, token_ids: Sequence[int]) -> None:
        """Index a prompt or a whole conversation, but for a beginning that is already there."""
        if self._generation != self.index.generation:
            self._known.clear()
            self._generation = self.index.generation
        known, chain, fresh = 0, 0, False
        for start in range(0, len(token_ids) - _CHUNK + 1, _CHUNK):
            chain = hash((chain, *token_ids[start : start + _CHUNK]))
            fresh = fresh or chain not in self._known
            if fresh:
                self._known.add(chain)
            else:
                known = start + _CHUNK
        if known < len(token_ids):
            self.index.separate()
            self.index.extend(token_ids[max(known - MAX_MATCH, 0) :])
