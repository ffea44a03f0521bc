"""What is drawn can be read: by its colours, in both themes, and in any direction of writing."""

from __future__ import annotations

import io
import re
from importlib.resources import files

import pytest
from rich.console import Console

from agentspark.report import print_summary, summarize
from agentspark.report.html import render_html
from agentspark.report.plots import timeline_plot

SHEET = files("agentspark.report").joinpath("templates/report.css").read_text()
LIGHT, DARK = (
    dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", part))
    for part in SHEET.split("@media (prefers")[:2]
)
BARS = ("prefill", "decode", "queue", "baseline")


def contrast(one, other):
    """The ratio that WCAG asks 4.5 of."""

    def luminance(colour):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, {**LIGHT, **DARK}])
def test_texts_stand_out_from_what_they_stand_on(theme):
    assert all(contrast(theme["on-bar"], theme[bar]) >= 4.5 for bar in BARS)
    assert contrast(theme["ink"], theme["tools"]) >= 4.5
    for text, ground in [
        ("ink", "panel"), ("muted", "panel"), ("muted", "page"), ("accelerated", "panel"),
        ("good", "good-soft"), ("bad", "bad-soft"), ("ink", "note-soft"),
    ]:  # fmt: skip
        assert contrast(theme[text], theme[ground]) >= 4.5, (text, ground)


@pytest.mark.parametrize("theme", [LIGHT, {**LIGHT, **DARK}])
def test_phases_have_colours_of_their_own(theme):
    """Grey is what no phase accounts for."""
    parts = {bar: [int(theme[bar][at : at + 2], 16) for at in (1, 3, 5)] for bar in BARS}
    for bar in BARS:
        for other in BARS:
            apart = sum(abs(a - b) for a, b in zip(parts[bar], parts[other], strict=True))
            assert bar == other or apart > 60, (bar, other)


def test_numbers_on_the_timeline_have_the_colour_for_bars(make_both):
    drawn = timeline_plot(summarize(make_both()).timeline)
    assert "var(--on-bar)" in drawn
    assert "#010a" not in drawn.lower()


def test_names_of_any_direction_leave_the_numbers_beside_them(make_run):
    records = []
    for place, run in enumerate(("\u062a\u0642\u0631\u064a\u0631", "other")):
        for arm in ("baseline", "accelerated"):
            records += make_run(arm, 2, run=run, at_s=100.0 * place + 50 * (arm != "baseline"))
    page = render_html(summarize(records))
    assert "<bdi>\u062a\u0642\u0631\u064a\u0631</bdi> <span" in page
    assert "<bdi>plan</bdi>" in page or "<bdi>plan " in page


def test_names_without_an_end_are_broken(make_run):
    records = [
        *make_run("baseline", run="a" * 200),
        *make_run("accelerated", 3, run="a" * 200, at_s=50),
    ]
    page = render_html(summarize(records))
    body, cells = (
        re.search(rule, SHEET)[1] for rule in (r"\nbody {([^}]*)}", r"\ntd.name {([^}]*)}")
    )
    assert "overflow-wrap: break-word" in body and "overflow-wrap: anywhere" in cells
    assert f'<td class="name"><bdi>{"a" * 200}</bdi></td>' in page


def test_costs_that_are_the_same_are_neither_more_nor_less(make_run):
    same = {"options": {"device": "cpu"}, "total_ms": 500.0, "queue_ms": 0.0}
    page = render_html(
        summarize(make_run("baseline", **same) + make_run("accelerated", at_s=50, **same))
    )
    assert '<div class="number">0%</div>' in page


@pytest.mark.parametrize(("slow", "fast"), [(True, True), (False, True), (False, False)])
def test_passes_are_told_where_they_are_known(make_run, slow, fast):
    """vLLM tells how many drafts were kept, and not always how many passes there were."""
    arms = [("baseline", slow), ("accelerated", fast)]
    unknown = {True: {}, False: {"rounds": None}}
    records = [
        record
        for place, (arm, known) in enumerate(arms)
        for record in make_run(arm, at_s=50.0 * place, **unknown[known])
    ]
    page = render_html(summarize(records))
    assert "From draft to output" in page
    assert ("8 passes of the target wrote 16 tokens" in page) == fast
    assert ("; the baseline needed 12 for 16." in page) == slow


def test_calls_that_are_not_compared_are_not_called_tools(make_both):
    records = make_both()
    assert "are not compared. Numbers" not in render_html(summarize(records))
    page = render_html(summarize(records[:-1]))
    assert "the agent's tools and calls that are not compared. Numbers" in page


def test_the_last_row_fits_into_a_terminal(make_both):
    summary = summarize(make_both())
    many = {"prompt_tokens": 50_500_000, "completion_tokens": 2_000_000, "total_ms": 15_001_000.0}
    arms = {arm: totals.model_copy(update=many) for arm, totals in summary.arms.items()}
    counts = {"pairs": 50_000, "steps": 50_000, "identical": 49_990}
    counted = summary.counts.model_copy(update=counts)
    console = Console(file=io.StringIO(), width=80)
    print_summary(summary.model_copy(update={"counts": counted, "arms": arms}), console)
    last = next(line for line in console.file.getvalue().splitlines() if "50,000 all" in line)
    assert "50.5M" in last and " 2M " in last
    assert last.count("4 h 10 min") == 2
    assert last.endswith("4.00\u00d7 10 no")
