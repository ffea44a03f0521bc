"""The report as one HTML file that needs nothing else: no scripts, no fonts, no requests."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentspark.report import format as shown
from agentspark.report import plots
from agentspark.report.setup import run_name
from agentspark.report.steps import MOST_ROWS, by_run
from agentspark.report.summary import ArmTotals, StepRow, Summary

if TYPE_CHECKING:
    from jinja2 import Environment

# A phase below this part of its arm's time would be a speck in the bar.
_SLIVER = 0.002


@dataclass(frozen=True, slots=True)
class _Run:
    """The rows of one run, and whether the page shows them opened."""

    name: str
    rows: list[StepRow]
    opened: bool


@dataclass(frozen=True, slots=True)
class _Bar:
    """A stretch of a bar: what it is, how long it took, its part of the longest bar in percent."""

    phase: str
    milliseconds: float
    width: float


@dataclass(frozen=True, slots=True)
class _Lane:
    """One arm's whole time, by phase."""

    arm: str
    milliseconds: float
    bars: list[_Bar]


def render_html(summary: Summary) -> str:
    """The whole page. Text from records is escaped; drawings are inline SVG."""
    rows = summary.steps[:MOST_ROWS]
    accelerated = summary.arms["accelerated"]
    histogram = accelerated.accepted_histogram
    drafted = bool(accelerated.draft_tokens) and bool(histogram and sum(histogram))
    return (
        _environment()
        .get_template("report.html.jinja")
        .render(
            summary=summary,
            baseline=summary.arms["baseline"],
            accelerated=accelerated,
            runs=_runs(rows),
            left_out=len(summary.steps) - len(rows),
            longest_ms=_longest(rows),
            prices=shown.prices_used(summary.prices),
            race=_race(summary),
            timeline=plots.timeline_plot(summary.timeline) if summary.timeline else None,
            speedups=plots.speedup_plot(summary),
            tokens=None if accelerated.cached_tokens is None else plots.tokens_plot(summary),
            acceptance=plots.acceptance_plot(histogram or [], accelerated.accepted_length)
            if drafted
            else None,
        )
    )


def _runs(rows: Sequence[StepRow]) -> list[_Run]:
    return [
        _Run(run_name(name), members, opened=place < 3)
        for place, (name, members) in enumerate(by_run(rows).items())
    ]


def _longest(rows: Sequence[StepRow]) -> float:
    sides = [side for row in rows for side in (row.baseline, row.accelerated)]
    return max([1e-9, *(side.total_ms for side in sides if side.total_ms is not None)])


def _race(summary: Summary) -> list[_Lane]:
    """Where each arm's time went, on one scale; tools where they and the calls add up."""
    tools = all(_in_sequence(arm) for arm in summary.arms.values())
    phases = {name: _phases(arm, tools=tools) for name, arm in summary.arms.items()}
    longest = max([1e-9, *(sum(times.values()) for times in phases.values())])
    return [
        _Lane(
            name,
            sum(times.values()),
            [_Bar(phase, ms, 100.0 * ms / longest) for phase, ms in times.items()],
        )
        for name, times in phases.items()
    ]


def _in_sequence(arm: ArmTotals) -> bool:
    """Whether the wall time is known and no two calls ran at once."""
    return (
        arm.wall_ms is not None
        and arm.busy_ms is not None
        and arm.total_ms is not None
        and arm.busy_ms > 0.98 * arm.total_ms
    )


def _phases(arm: ArmTotals, *, tools: bool) -> dict[str, float]:
    times = {"queue": arm.queue_ms, "prefill": arm.prefill_ms, "decode": arm.decode_ms}
    if arm.total_ms is not None:
        # All of it where no phase is known, as from a server that reports none.
        times["other"] = arm.total_ms - sum(ms for ms in times.values() if ms is not None)
    if tools:
        times["tools"] = arm.tools_ms
    whole = sum(ms for ms in times.values() if ms is not None)
    return {phase: ms for phase, ms in times.items() if ms is not None and ms > _SLIVER * whole}


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("agentspark.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        duration=shown.duration,
        times=shown.times,
        percent=shown.percent,
        count=shown.count,
        output_tokens=shown.output_tokens,
        decimal=shown.decimal,
        money=shown.money,
    )
    environment.globals.update(named=shown.named)
    return environment
