"""The drafter is used as long as its pass pays, at each number of streams."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentspark.drafting.pace import DraftPace


class World:
    """Rounds of given mean tokens and seconds without and with the drafter, with noise."""

    def __init__(self, pace: DraftPace, streams: int, seed: int = 0) -> None:
        self.pace, self.streams = pace, streams
        self.random = random.Random(seed)

    def run(self, rounds: int, plain: tuple[float, float], drafted: tuple[float, float]) -> float:
        """Tokens per second of so many rounds."""
        tokens, seconds = 0, 0.0
        for _ in range(rounds):
            mean, takes = drafted if self.pace.drafts(self.streams) else plain
            got = self.streams
            extra = (mean - 1.0) * self.streams
            got += int(extra) + (self.random.random() < extra % 1.0)
            took = takes * self.random.uniform(0.9, 1.1)
            self.pace.observe(self.streams, got, took)
            tokens, seconds = tokens + got, seconds + took
        return tokens / seconds


PLAIN = (1.0, 0.040)


@pytest.mark.parametrize("streams", [1, 3, 8, 16])
@pytest.mark.parametrize("drafted", [(1.8, 0.050), (1.4, 0.075), (1.0, 0.050), (2.5, 0.150)])
def test_the_better_way_is_found_and_kept(streams: int, drafted: tuple[float, float]) -> None:
    world = World(DraftPace(), streams)
    speed = world.run(1500, PLAIN, drafted)
    best = max(streams * mean / takes for mean, takes in (PLAIN, drafted))
    assert speed > 0.94 * best
    assert world.run(500, PLAIN, drafted) > 0.96 * best


def test_it_drafts_first_and_tries_the_other_way_soon() -> None:
    pace = DraftPace()
    ways = []
    for _ in range(60):
        ways.append(pace.drafts(1))
        pace.observe(1, 2 if ways[-1] else 1, 0.03)
    assert all(ways[:20])
    assert 4 <= ways.count(False) <= 12


@pytest.mark.parametrize("streams", [1, 4, 16])
def test_looking_whether_it_pays_costs_little_where_it_does(streams: int) -> None:
    drafted = (1.8, 0.055)
    speeds = [World(DraftPace(), streams, seed).run(100, PLAIN, drafted) for seed in range(20)]
    assert sum(speeds) / len(speeds) > 0.985 * streams * drafted[0] / drafted[1]


def test_a_change_is_noticed() -> None:
    world = World(DraftPace(), 4)
    world.run(300, PLAIN, (2.0, 0.050))
    world.run(1500, PLAIN, (1.0, 0.060))
    assert world.run(300, PLAIN, (1.0, 0.060)) > 0.93 * 4 / 0.040
    world.run(1500, PLAIN, (2.0, 0.050))
    assert world.run(300, PLAIN, (2.0, 0.050)) > 0.9 * 4 * 2.0 / 0.050


def test_numbers_of_streams_are_apart() -> None:
    pace = DraftPace()
    one, many = World(pace, 1), World(pace, 16)
    for _ in range(60):
        one.run(10, PLAIN, (2.0, 0.050))
        many.run(10, PLAIN, (1.2, 0.090))
    assert one.run(100, PLAIN, (2.0, 0.050)) > 0.9 * 2.0 / 0.050
    assert many.run(100, PLAIN, (1.2, 0.090)) > 0.9 * 16 / 0.040


def test_a_stall_does_not_turn_the_choice() -> None:
    pace, used = DraftPace(), 0
    for number in range(400):
        drafts = pace.drafts(2)
        stalled = drafts and number % 45 == 44
        pace.observe(2, 4 if drafts else 2, 2.0 if stalled else 0.05)
        used += drafts
    assert used > 330


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 100), st.floats(-1.0, 1e6))))
def test_whatever_is_observed_there_is_a_choice(seen: list[tuple[int, int, float]]) -> None:
    pace = DraftPace()
    for streams, tokens, seconds in seen:
        pace.observe(streams, tokens, seconds)
        assert pace.drafts(streams) in (True, False)
