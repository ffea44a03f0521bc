"""The cost table: interpolation, buckets, files, profiling and correction while running."""

from __future__ import annotations

import json
import math
import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentspark.dspark.costs import CostKey, CostTable, profile
from agentspark.errors import ConfigError

KEY = CostKey(model="m", device="cpu", dtype="bfloat16", threads=2, buckets=(4, 8), drafter="d")


def test_points_are_kept_and_joined_by_lines() -> None:
    table = CostTable({4: 0.02, 8: 0.03, 16: 0.07})
    assert table.seconds(8) == pytest.approx(0.03)
    assert table.seconds(6) == pytest.approx(0.025)
    assert table.seconds(1) == pytest.approx(0.02)
    assert table.seconds(20) == pytest.approx(0.09)
    assert table.with_drafts(0).steps_per_second(8) == pytest.approx(1 / 0.03)


def test_a_flat_end_does_not_promise_rows_for_nothing() -> None:
    table = CostTable({8: 0.04, 16: 0.04})
    assert table.seconds(32) == pytest.approx(0.06)
    assert CostTable({10: 0.1}).seconds(20) == pytest.approx(0.15)


def test_rows_are_rounded_up_to_a_bucket() -> None:
    table = CostTable({4: 0.02, 8: 0.04, 16: 0.08}, buckets=(4, 8))
    assert [table.padded(rows) for rows in (1, 4, 5, 8, 9)] == [4, 4, 8, 8, 9]
    assert table.seconds(5) == table.seconds(8) == pytest.approx(0.04)
    assert table.seconds(2) == pytest.approx(0.02)
    assert table.seconds(12) == pytest.approx(0.06)


def test_drafting_is_part_of_the_round() -> None:
    table = CostTable({4: 0.02}, {1: 0.005, 4: 0.008})
    assert table.seconds(4, drafted=1) == pytest.approx(0.025)
    assert table.seconds(4, drafted=0) == pytest.approx(0.02)
    assert table.with_drafts(4).steps_per_second(4) == pytest.approx(1 / 0.028)
    assert CostTable({4: 0.02}).seconds(4, drafted=3) == pytest.approx(0.02)


@given(
    st.dictionaries(st.integers(1, 200), st.floats(0.001, 1.0), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(1, 300), st.floats(0.0001, 3.0)), max_size=20),
)
def test_more_rows_never_cost_less(
    points: dict[int, float], observed: list[tuple[int, float]]
) -> None:
    table = CostTable(points)
    for rows, seconds in observed:
        table.observe(rows, 0, seconds, rate=0.3)
    curve = [table.seconds(rows) for rows in range(1, 320)]
    assert all(b >= a - 1e-12 for a, b in pairwise(curve))
    assert curve[0] > 0
    assert all(math.isfinite(y) for y in curve)


@pytest.mark.parametrize("points", [{}, {1: float("nan")}, {-1: 0.1}, {1: -0.1}])
def test_impossible_points_are_refused(points: dict[int, float]) -> None:
    with pytest.raises(ConfigError):
        CostTable(points)


def test_observation_follows_a_real_change() -> None:
    table = CostTable({4: 0.02, 8: 0.03}, {1: 0.005})
    for _ in range(200):
        table.observe(4, 1, 0.035)
    assert table.seconds(4) == pytest.approx(0.03, rel=0.02)
    for _ in range(200):
        table.observe(6, 0, 0.05)
    assert table.seconds(6) == pytest.approx(0.05, rel=0.02)
    for _ in range(200):
        table.observe_draft(1, 0.009)
    assert table.draft_seconds(1) == pytest.approx(0.009, rel=0.02)


def test_points_between_do_not_run_away() -> None:
    """Rounds of 6 and 8 rows that cost less than fewer rows were measured at: no point diverges."""
    table = CostTable({1: 0.04, 4: 0.04, 8: 0.04, 16: 0.06})
    generator = random.Random(2)
    for _ in range(3000):
        rows = generator.choice((5, 6, 7, 8))
        table.observe(rows, 0, 0.03 + 0.0005 * rows + generator.uniform(-0.003, 0.003))
    for rows in (5, 6, 7, 8):
        assert table.seconds(rows) == pytest.approx(0.03 + 0.0005 * rows, rel=0.05)
    # Never seen, but part of the same machine.
    assert 0.025 < table.seconds(1) < 0.034
    assert 0.034 < table.seconds(16) < 0.06


def test_outliers_move_little() -> None:
    table = CostTable({4: 0.02})
    table.observe(4, 0, 30.0)
    assert table.seconds(4) <= 0.02 * 1.03
    for bad in (float("nan"), float("inf"), 0.0, -1.0):
        table.observe(4, 0, bad)
        table.observe_draft(1, bad)
    assert table.seconds(4) <= 0.02 * 1.03
    generator = random.Random(1)
    for _ in range(2000):
        table.observe(4, 0, 2.0 if generator.random() < 0.02 else 0.02)
    assert table.seconds(4) == pytest.approx(0.02, rel=0.1)


def test_a_file_keeps_the_table(tmp_path: Path) -> None:
    path = tmp_path / "costs" / "table.json"
    table = CostTable({4: 0.02, 8: 0.03}, {1: 0.004}, buckets=(4, 8))
    table.save(path, KEY)
    again = CostTable.load(path, KEY)
    assert again is not None
    assert [again.seconds(n, 1) for n in (1, 5, 8, 30)] == pytest.approx(
        [table.seconds(n, 1) for n in (1, 5, 8, 30)]
    )
    assert [p.name for p in path.parent.iterdir()] == ["table.json"]
    assert json.loads(path.read_text())["forward_ms"] == {"4": 20.0, "8": 30.0}


def test_a_file_of_another_setup_or_a_broken_one_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    assert CostTable.load(path, KEY) is None
    CostTable({4: 0.02}).save(path, KEY)
    other = CostKey(model="m", device="cpu", dtype="float32", threads=2, buckets=(4, 8))
    assert CostTable.load(path, other) is None
    for text in ("", "[]", "{}", path.read_text()[:40], path.read_text().replace("20.0", "null")):
        path.write_text(text)
        assert CostTable.load(path, KEY) is None


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.json"
    CostTable({4: 0.02}).save(path, KEY)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agentspark.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        CostTable({4: 0.5}).save(path, KEY)
    assert [p.name for p in tmp_path.iterdir()] == ["table.json"]
    kept = CostTable.load(path, KEY)
    assert kept is not None and kept.seconds(4) == pytest.approx(0.02)


def test_profile_takes_medians_of_interleaved_runs() -> None:
    now, calls = 0.0, []

    def run(rows: int) -> None:
        nonlocal now
        calls.append(rows)
        now += 5.0 if len(calls) == 4 else rows / 100  # one hiccup after the warm-up

    def draft(requests: int) -> None:
        nonlocal now
        now += requests / 1000

    table = profile(run, [2, 4], 3, draft=draft, drafted=[1], clock=lambda: now)
    assert calls == [2, 4] * 4
    assert table.seconds(2) == pytest.approx(0.02)
    assert table.seconds(4, 1) == pytest.approx(0.041)


def test_profile_spends_little_on_what_takes_long() -> None:
    now, calls = 0.0, []

    def run(rows: int) -> None:
        nonlocal now
        calls.append(rows)
        now += rows / 10

    table = profile(run, [64, 1, 2, 4, 160, 320], 5, clock=lambda: now)
    assert [calls.count(n) for n in (1, 2, 4, 64, 160, 320)] == [6, 3, 2, 1, 1, 0]
    assert table.seconds(64) == pytest.approx(6.4)
    assert table.seconds(320) == pytest.approx(32.0)


def test_profile_measures_one_size_however_long_it_takes() -> None:
    now = 0.0

    def run(rows: int) -> None:
        nonlocal now
        now += 50.0 * rows

    assert profile(run, [4, 8], 5, clock=lambda: now).seconds(4) == pytest.approx(200.0)
