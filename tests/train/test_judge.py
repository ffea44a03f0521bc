"""What a judgement says, and by which figures."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from agentspark.train.evaluate import OfflineTau, gain_error
from agentspark.train.judge import Judgement, measure

OLD = OfflineTau(2.0, 3.0, [], [], rounds=5, anchors=9)
NEW = replace(OLD, greedy=2.5, sampled=2.9)


def test_the_traffics_own_figure_counts():
    greedy, sampled = Judgement(OLD, NEW, True, 7), Judgement(OLD, NEW, False, 7)
    assert greedy.better and not sampled.better
    said = "accepted length on 7 held-out steps"
    assert greedy.describe() == f"{said} 2.00 before, 2.50 after (greedy)"
    assert sampled.describe() == f"{said} 3.00 before, 2.90 after (at temperature 1)"


def test_a_win_by_little_is_seen_as_one():
    near = Judgement(OLD, replace(OLD, greedy=2.0011), True, 7)
    assert near.better
    assert near.describe().endswith("2.0000 before, 2.0011 after (greedy)")


def test_a_gain_that_chance_may_have_made_is_no_win() -> None:
    """Half of the steps gain as much as the others lose; then all of them gain."""
    parts = tuple((20.0, 10) for _ in range(8))
    mixed = tuple((20.0 + (6 if i % 2 else -5.5), 10) for i in range(8))
    old, new = replace(OLD, greedy_parts=parts), replace(OLD, greedy=2.025, greedy_parts=mixed)
    lucky = Judgement(old, new, True, 8)
    assert lucky.error == pytest.approx(0.575 * math.sqrt(1 / 7), rel=1e-6)
    assert not lucky.better
    assert lucky.describe().endswith("(greedy; standard error of the gain 0.22)")
    steady = tuple((20.25, 10) for _ in range(8))
    assert Judgement(old, replace(new, greedy_parts=steady), True, 8).better


def test_steps_that_say_nothing_do_not_count_into_the_error() -> None:
    assert gain_error([(3.0, 2)], [(4.0, 2)]) is None
    assert gain_error([(3.0, 2), (0.0, 0)], [(4.0, 2), (0.0, 0)]) is None
    two = [(3.0, 2), (5.0, 2)], [(4.0, 2), (5.0, 2)]
    assert gain_error(*two) == gain_error(*([*part, (0.0, 0)] for part in two)) == 0.25


def test_where_no_greedy_response_was_measured_the_other_figure_is_named():
    none = [replace(tau, greedy=None) for tau in (OLD, NEW)]
    found = Judgement(*none, True, 7)
    assert (found.before, found.after, found.better) == (3.0, 2.9, False)
    assert found.describe().endswith("3.00 before, 2.90 after (at temperature 1)")
    unknown = replace(OLD, greedy=None, sampled=None)
    assert not Judgement(unknown, unknown, True, 0).better


def test_responses_are_greedy_by_their_temperature(store, model):
    tau = measure(model, store, [0, 1, 2])
    assert tau.greedy is not None
    path, entry = store.entries[0]
    store.entries[0] = (path, replace(entry, temperature=0.8))
    assert measure(model, store, [0]).greedy is None
