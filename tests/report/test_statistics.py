"""Sums, medians and intervals, with unknowns among the numbers."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from agentspark.report import pair_records
from agentspark.report.statistics import (
    add_histograms,
    bootstrap_interval,
    known_count,
    known_median,
    known_middle,
    known_sum,
    ratio,
    speedup,
    spread,
)


class Timed(NamedTuple):
    """All that an interval asks of a call."""

    total_ms: float


def pairs_of(make_record, times):
    records = []
    for step, (slow, fast) in enumerate(times, start=1):
        records.append(make_record("baseline", step, total_ms=slow))
        records.append(make_record("accelerated", step, total_ms=fast))
    return pair_records(records).pairs


def test_unknown_is_left_out_and_never_zero():
    assert known_sum([1.5, None, 2.5]) == 4.0
    assert known_count([None, 2]) == 2
    assert known_median([None, 3.0, 1.0, 2.0]) == 2.0
    assert known_middle([4, None, 1]) == 1
    for combine in (known_sum, known_count, known_median, known_middle):
        assert combine([None, None]) is None


def test_ratio_of_what_cannot_be_divided():
    assert ratio(6.0, 3.0) == 2.0
    assert ratio(None, 3.0) is None
    assert ratio(6.0, None) is None
    assert ratio(6.0, 0.0) is None


def test_a_time_as_good_as_zero_has_no_ratio(make_record):
    pairs = pairs_of(make_record, [(1000.0, 5e-324)] * 4)

    assert speedup(pairs, "total_ms") is None
    assert spread(pairs, "total_ms") is None
    assert bootstrap_interval([[pair] for pair in pairs]) is None


def test_histograms_of_different_widths_add_up():
    assert add_histograms([[1, 2], None, [3, 0, 5]]) == [4, 2, 5]
    assert add_histograms([None]) is None


def test_speedup_is_the_ratio_of_sums(make_record):
    pairs = pairs_of(make_record, [(1000.0, 100.0), (1000.0, 900.0)])

    assert speedup(pairs, "total_ms") == 2.0
    assert spread(pairs, "total_ms") == pytest.approx((1000 / 900, 10.0))


def test_a_pair_counts_only_where_both_times_are_known(make_record):
    pairs = pairs_of(make_record, [(1000.0, 500.0), (9000.0, None)])

    assert speedup(pairs, "total_ms") == 2.0
    assert spread(pairs, "total_ms") is None
    assert speedup(pairs_of(make_record, [(1000.0, None)]), "total_ms") is None


def test_the_interval_holds_the_speedup_and_grows_with_the_spread(make_record):
    even = [[p] for p in pairs_of(make_record, [(1000.0, 500.0)] * 8)]
    mixed = pairs_of(make_record, [(1000.0, 500.0 + 60.0 * step) for step in range(8)])

    low, high = bootstrap_interval([[pair] for pair in mixed])
    overall = speedup(mixed, "total_ms")

    assert bootstrap_interval(even) == (2.0, 2.0)
    assert low < overall < high
    assert low > 1000 / 920
    assert high < 2.0


def test_the_interval_is_the_same_every_time(make_record):
    steps = [[p] for p in pairs_of(make_record, [(1000.0, 100.0 * n) for n in range(1, 7)])]

    assert bootstrap_interval(steps) == bootstrap_interval(steps)


def test_repetitions_of_one_step_do_not_narrow_the_interval(make_record):
    pairs = pairs_of(make_record, [(1000.0, 100.0 * n) for n in range(1, 7)])

    assert bootstrap_interval([[p] for p in pairs]) == bootstrap_interval([[p] * 5 for p in pairs])


def test_the_interval_of_six_steps_holds_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(300):
        slow, gain = generator.lognormal(0.0, 0.6, 6), generator.lognormal(0.7, 0.4, 6)
        steps = [
            [SimpleNamespace(baseline=Timed(a), accelerated=Timed(b))]
            for a, b in zip(slow, slow / gain, strict=True)
        ]
        low, high = bootstrap_interval(steps)
        held += low <= math.exp(0.7 - 0.4**2 / 2) <= high

    assert held > 0.88 * 300


def test_too_few_steps_have_no_interval(make_record):
    steps = [[p] for p in pairs_of(make_record, [(1000.0, 500.0)] * 4)]

    assert bootstrap_interval(steps) is None
