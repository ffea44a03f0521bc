"""The server's measurements run on the tiny target and count right; nobody looks at times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from agentspark.trace.record import ARMS
from benchmarks.bench import Settings
from benchmarks.http import soak, streams, ttft
from benchmarks.http.command import app
from benchmarks.http.served import Process, in_process
from benchmarks.http.soak import _gauges, _growth


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[Process]:
    """For those that ask for one with nothing but their settings."""
    with in_process(settings) as process:
        yield process


def test_first_tokens_are_taken_both_ways(
    settings: Settings, server: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ttft, "in_process", {settings: nullcontext(server)}.__getitem__)
    found = ttft.measure(settings)
    assert found.name == "ttft"
    for name in ("in_process_ms", "over_http_ms"):
        times = found.figures[name]
        assert isinstance(times, list)
        assert len(times) == 2
        assert all(isinstance(time, float) and time > 0 for time in times)


def test_an_answer_without_text_has_no_first_token() -> None:
    assert ttft._first(0.0, ["", ""]) is None
    assert ttft._first(0.0, ["", "a", "b"]) is not None


def test_a_short_soak_leaks_nothing_and_counts_every_end(settings: Settings) -> None:
    leaks, hung, broken, memory = soak.measure(settings, minutes=0.05)
    assert (leaks.value, hung.value, broken.value) == (0.0, 0.0, 0.0), broken.note
    ends = broken.figures["ends"]
    assert isinstance(ends, dict)
    counted = sum(n for n in ends.values() if isinstance(n, int))
    assert counted == broken.figures["requests"]
    assert counted > 16
    assert memory.unit == "share"


def test_streams_are_compared_at_every_number(
    settings: Settings, server: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "in_process", {settings: nullcontext(server)}.__getitem__)
    monkeypatch.setattr(streams, "_CHATS_EACH", 1)
    arms, *scales = streams.measure(settings)
    assert list(arms.figures) == ["1", "2", "4", "8", "16"]
    for each in arms.figures.values():
        assert isinstance(each, dict)
        ratios = each.pop("ratios")
        assert isinstance(ratios, list)
        assert ratios == [each["ratio"]]
        assert all(isinstance(value, float) and value > 0 for value in each.values())
    assert [scale.name for scale in scales] == [f"scale-{arm}" for arm in ARMS]


def test_growth_compares_the_end_with_what_came_after_the_warm_up() -> None:
    samples = [(float(at), size) for at, size in enumerate([1, 5, 10, 10, 12])]
    assert _growth(samples) == pytest.approx(0.2)
    assert _growth(samples[:4]) is None
    assert _gauges("# HELP x\nagentspark_running 2.0\nother 1\n") == {"running": 2.0}


def test_names_are_checked() -> None:
    from typer.testing import CliRunner

    assert CliRunner().invoke(app, ["--only", "speed"]).exit_code == 2
