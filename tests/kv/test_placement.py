"""How often growing sequences stay in one run of blocks, under workloads of agents."""

from __future__ import annotations

import random
from statistics import mean

import pytest

from agentspark.kv.blocks import BlockPool, block_runs
from agentspark.kv.contract import PrefixMatch
from agentspark.kv.prefix import PrefixTree

SYSTEM = list(range(-20, 0))


def runs(blocks: list[int]) -> int:
    return len(list(block_runs(blocks)))


@pytest.mark.parametrize("concurrent", [1, 2, 8])
def test_growing_sequences_stay_in_one_run_while_there_is_room(concurrent: int) -> None:
    pool = BlockPool(4096, 16)
    sequences = [pool.allocate(40) for _ in range(concurrent)]
    for _ in range(60):
        for sequence in sequences:
            sequence += pool.allocate(1, after=sequence[-1])
    assert [runs(sequence) for sequence in sequences] == [1] * concurrent


def test_one_after_the_other_they_lie_in_one_run() -> None:
    pool = BlockPool(1024, 16)
    for length in range(10, 60, 7):
        sequence = pool.allocate(length)
        for _ in range(20):
            sequence += pool.allocate(1, after=sequence[-1])
        assert runs(sequence) == 1


class Conversation:
    """An agent whose steps extend one context, a block per token; after twelve it begins anew."""

    def __init__(self, agents: Agents) -> None:
        self.agents = agents
        self.steps_left = 0
        self.tokens: list[int] = []
        self.match: PrefixMatch
        self.own: list[int] = []
        self.begin()

    def begin(self) -> None:
        random_ = self.agents.random
        if self.steps_left == 0:
            self.tokens, self.steps_left = list(SYSTEM), 12
            self.tokens += self.agents.new_tokens(random_.randint(10, 80))
        else:
            self.tokens += self.agents.new_tokens(random_.randint(5, 40))
        self.match = self.agents.tree.match(self.tokens[:-1])
        self.agents.tree.lock(self.match)
        needed = len(self.tokens) + self.agents.room - len(self.match.blocks)
        after = self.match.blocks[-1] if self.match.blocks else None
        self.own = self.agents.take(needed, after)
        self.to_generate = random_.randint(2, 16)

    def turn(self) -> None:
        if self.to_generate:
            self.to_generate -= 1
            self.tokens += self.agents.new_tokens(1)
            table = [*self.match.blocks, *self.own]
            if len(table) < len(self.tokens):
                self.own += self.agents.take(1, table[-1])
            return
        table = [*self.match.blocks, *self.own][: len(self.tokens)]
        self.agents.finished.append(runs(table))
        self.agents.tree.insert(self.tokens, table)
        self.agents.pool.release(self.own)
        self.agents.tree.unlock(self.match)
        self.steps_left -= 1
        self.begin()


class Agents:
    """Conversations side by side in one pool that is full after a while."""

    def __init__(self, concurrent: int, *, room: int, evict_share: float) -> None:
        self.random = random.Random(5)
        self.pool = BlockPool(8192, 1)
        self.tree = PrefixTree(self.pool)
        self.room = room
        self.evict_at_least = int(self.pool.num_blocks * evict_share)
        self.finished: list[int] = []
        self.tokens = 0
        self.conversations = [Conversation(self) for _ in range(concurrent)]

    def new_tokens(self, count: int) -> range:
        self.tokens += count
        return range(self.tokens - count, self.tokens)

    def take(self, count: int, after: int | None) -> list[int]:
        missing = count - self.pool.free_blocks
        if missing > 0:
            self.tree.evict(max(missing, self.evict_at_least))
        return self.pool.allocate(count, after=after)

    def run(self, steps: int) -> float:
        """Mean number of runs of a finished step's context, in a pool that has been full."""
        while len(self.finished) < steps:
            for conversation in self.conversations:
                conversation.turn()
        self.tree.check_integrity(
            {block: 1 for conversation in self.conversations for block in conversation.own}
        )
        assert self.tokens > 2 * self.pool.num_blocks
        return mean(self.finished[steps // 2 :])


@pytest.mark.parametrize(("concurrent", "limit"), [(1, 8), (8, 12)])
def test_in_a_full_pool_contexts_of_many_blocks_lie_in_few_runs(
    concurrent: int, limit: int
) -> None:
    careful = Agents(concurrent, room=16, evict_share=1 / 8).run(1000)
    careless = Agents(concurrent, room=0, evict_share=0).run(1000)
    assert careful <= limit
    assert careless > 2 * careful  # why the pool's documentation asks for room and large evictions
