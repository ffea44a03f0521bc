"""Survival learned online."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentspark.drafting.survival import SurvivalEstimator


def test_it_starts_at_the_prior_and_learns_each_kind_alone() -> None:
    estimator = SurvivalEstimator(lambda key: 0.5)
    assert estimator.survival("a", 3) == pytest.approx([0.5, 0.25, 0.125])
    for _ in range(200):
        estimator.update("a", 3, 3)
        estimator.update("b", 3, 0)
    assert estimator.survival("a", 3)[2] > 0.8
    assert estimator.survival("b", 1)[0] < 0.1
    assert estimator.survival("c", 1) == [0.5]


def test_it_finds_the_rate_of_each_position() -> None:
    estimator = SurvivalEstimator(lambda key: 0.5)
    generator = random.Random(4)
    for _ in range(3000):
        kept = 0
        while kept < 3 and generator.random() < (0.9, 0.5, 0.7)[kept]:
            kept += 1
        estimator.update(None, 3, kept)
    expected = [0.9, 0.45, 0.315]
    assert estimator.survival(None, 3) == pytest.approx(expected, abs=0.15)


def test_positions_never_seen_lean_on_the_others() -> None:
    estimator = SurvivalEstimator(lambda key: 0.5)
    for _ in range(100):
        estimator.update("a", 2, 2)
    survival = estimator.survival("a", 20)
    assert survival[19] / survival[18] == pytest.approx(survival[1] / survival[0], rel=0.1)


def test_it_follows_a_change_of_work() -> None:
    estimator = SurvivalEstimator(lambda key: 0.5)
    for _ in range(1000):
        estimator.update("a", 1, 0)
    for _ in range(100):
        estimator.update("a", 1, 1)
    assert estimator.survival("a", 1)[0] > 0.75


def test_a_kind_that_is_no_longer_verified_is_forgiven() -> None:
    estimator = SurvivalEstimator(lambda key: 0.5)
    for _ in range(100):
        estimator.update("a", 1, 0)
    low = estimator.survival("a", 1)[0]
    for _ in range(400):
        estimator.update("a", 0, 0)
    assert low < 0.1 < 0.4 < estimator.survival("a", 1)[0]


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=30))
def test_survival_never_increases(rounds: list[tuple[int, int]]) -> None:
    estimator = SurvivalEstimator(lambda key: 0.8)
    for a, b in rounds:
        estimator.update("k", max(a, b), min(a, b))
    survival = estimator.survival("k", 40)
    assert all(0.0 <= y <= x <= 1.0 for x, y in pairwise(survival))


def test_more_accepted_than_verified_is_refused() -> None:
    with pytest.raises(ValueError, match="accepted=2"):
        SurvivalEstimator(lambda key: 0.5).update("a", 1, 2)
