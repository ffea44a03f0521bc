"""The radix tree and its naive twin driven side by side: every observable must agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from agentspark.errors import AgentSparkError, KVExhaustedError
from agentspark.kv.blocks import BlockPool
from agentspark.kv.contract import PrefixMatch
from agentspark.kv.prefix import PrefixTree
from tests.kv.naive import NaivePrefixCache

BLOCKS, SIZE = 20, 2
# Few different tokens, so that sequences share, extend and part inside blocks.
tokens_st = st.lists(st.integers(0, 1), min_size=1, max_size=16)
long_tokens = st.lists(st.integers(0, 1), min_size=6, max_size=16)
counts = st.integers(0, 6)
salts = st.sampled_from([None, None, "a"])


@dataclass
class Side:
    """One of the two caches, its pool, and the same objects on this side."""

    pool: BlockPool
    cache: PrefixTree | NaivePrefixCache
    matches: list[PrefixMatch]
    owned: list[list[int]]


@dataclass
class Running:
    """A request under way: ``match`` and ``owned`` index the lists of both sides."""

    tokens: list[int]
    salt: str | None
    match: int
    owned: int


class SideBySide(RuleBasedStateMachine):
    """Requests start, grow, share and finish; loose matches are locked; caches are evicted."""

    def __init__(self) -> None:
        super().__init__()
        pools = BlockPool(BLOCKS, SIZE), BlockPool(BLOCKS, SIZE)
        self.sides = [
            Side(pools[0], PrefixTree(pools[0]), [], []),
            Side(pools[1], NaivePrefixCache(pools[1]), [], []),
        ]
        self.running: list[Running] = []

    def both(self, action: Callable[[Side], Any]) -> Any:
        """Run ``action`` on both sides; they must give equal results or the same error."""
        outcomes = []
        for side in self.sides:
            try:
                outcomes.append(("gave", action(side)))
            except AgentSparkError as error:
                outcomes.append(("raised", type(error)))
        assert outcomes[0] == outcomes[1]
        return outcomes[0]

    @rule(tokens=long_tokens, salt=salts)
    def serve(self, tokens: list[int], salt: str | None) -> None:
        """A whole request at once."""
        running = len(self.running)
        self.start(tokens, salt, evict=True)
        if len(self.running) > running:
            self._finish(self.running[-1], keep=True)

    @rule(tokens=tokens_st, salt=salts)
    def match(self, tokens: list[int], salt: str | None) -> None:
        def match(side: Side) -> PrefixMatch:
            side.matches.append(side.cache.match(tokens, salt=salt))
            return side.matches[-1]

        self.both(match)

    @precondition(lambda self: self.sides[0].matches)
    @rule(data=st.data())
    def lock(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.sides[0].matches) - 1))
        self.both(lambda side: side.cache.lock(side.matches[index]))

    @precondition(lambda self: self.sides[0].matches)
    @rule(data=st.data())
    def unlock(self, data: st.DataObject) -> None:
        taken = {request.match for request in self.running}
        free = [i for i in range(len(self.sides[0].matches)) if i not in taken]
        if free:
            index = data.draw(st.sampled_from(free))
            self.both(lambda side: side.cache.unlock(side.matches[index]))

    @rule(tokens=long_tokens, salt=salts, evict=st.booleans())
    def begin(self, tokens: list[int], salt: str | None, evict: bool) -> None:
        self.start(tokens, salt, evict)

    def start(self, tokens: list[int], salt: str | None, evict: bool) -> None:
        def start(side: Side) -> tuple[PrefixMatch, list[int]]:
            match = side.cache.match(tokens[:-1], salt=salt)
            side.cache.lock(match)
            needed = -(-len(tokens) // SIZE) - len(match.blocks)
            if evict and needed > side.pool.free_blocks:
                side.cache.evict(needed - side.pool.free_blocks)
            try:
                own = side.pool.allocate(needed, after=match.blocks[-1] if match.blocks else None)
            except KVExhaustedError:
                side.cache.unlock(match)
                raise
            side.matches.append(match)
            side.owned.append(own)
            return match, own

        if self.both(start)[0] == "gave":
            side = self.sides[0]
            self.running.append(
                Running(list(tokens), salt, len(side.matches) - 1, len(side.owned) - 1)
            )

    @precondition(lambda self: self.running)
    @rule(data=st.data(), more=st.lists(st.integers(0, 1), min_size=1, max_size=4))
    def grow(self, data: st.DataObject, more: list[int]) -> None:
        request = data.draw(st.sampled_from(self.running))
        wanted = -(-(len(request.tokens) + len(more)) // SIZE)

        def grow(side: Side) -> list[int]:
            table = self._table(side, request)
            own = side.pool.allocate(wanted - len(table), after=table[-1] if table else None)
            side.owned[request.owned] += own
            return own

        if self.both(grow)[0] == "gave":
            request.tokens += more

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def share(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(self.running))
        self.both(lambda side: self._insert(side, request))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def hand_over(self, data: st.DataObject) -> None:
        """Share what is whole and hold it by a longer lock instead."""
        request = data.draw(st.sampled_from(self.running))

        def hand_over(side: Side) -> tuple[int, PrefixMatch]:
            added = self._insert(side, request)
            longer = side.cache.match(request.tokens, salt=request.salt)
            side.cache.lock(longer)
            side.cache.unlock(side.matches[request.match])
            table = self._table(side, request)
            already = len(side.matches[request.match].blocks)
            side.pool.release(table[already : len(longer.blocks)])
            side.owned[request.owned] = table[len(longer.blocks) :]
            side.matches.append(longer)
            return added, longer

        assert self.both(hand_over)[0] == "gave"
        request.match = len(self.sides[0].matches) - 1

    @precondition(lambda self: self.running)
    @rule(data=st.data(), keep=st.booleans())
    def finish(self, data: st.DataObject, keep: bool) -> None:
        self._finish(data.draw(st.sampled_from(self.running)), keep)

    def _finish(self, request: Running, keep: bool) -> None:
        def finish(side: Side) -> tuple[int, int]:
            added = self._insert(side, request) if keep else 0
            freed = side.pool.release(side.owned[request.owned])
            side.owned[request.owned] = []
            side.cache.unlock(side.matches[request.match])
            return added, freed

        assert self.both(finish)[0] == "gave"
        self.running.remove(request)

    @precondition(lambda self: self.sides[0].cache.evictable_blocks)
    @rule(count=counts)
    def evict(self, count: int) -> None:
        self.both(lambda side: side.cache.evict(count))

    @precondition(lambda self: self.sides[0].cache.evictable_blocks > BLOCKS // 2)
    @rule()
    def clear(self) -> None:
        self.both(lambda side: side.cache.clear())

    @precondition(lambda self: self.sides[0].cache.cached_blocks)
    @rule(tokens=tokens_st, salt=salts)
    def divergence(self, tokens: list[int], salt: str | None) -> None:
        self.both(lambda side: side.cache.divergence(tokens, salt=salt))

    @invariant()
    def agrees(self) -> None:
        for side in self.sides:
            outstanding = Counter(block for own in side.owned for block in own)
            side.cache.check_integrity(outstanding)
        self.both(lambda side: (side.cache.cached_blocks, side.cache.evictable_blocks))
        self.both(lambda side: [side.pool.references(block) for block in range(BLOCKS)])

    def _table(self, side: Side, request: Running) -> list[int]:
        return [*side.matches[request.match].blocks, *side.owned[request.owned]]

    def _insert(self, side: Side, request: Running) -> int:
        table = self._table(side, request)
        return side.cache.insert(request.tokens, table, salt=request.salt)


SideBySide.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
test_tree_and_twin_agree = SideBySide.TestCase
