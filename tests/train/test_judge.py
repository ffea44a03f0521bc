"""What a judgement says, and by which figures."""

from __future__ import annotations

from dataclasses import replace

from agentspark.train.evaluate import OfflineTau
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
