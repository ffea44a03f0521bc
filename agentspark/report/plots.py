"""The plots of the report, each one a function from the summary to an inline SVG."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentspark.report import plot_style as style
from agentspark.report.format import duration
from agentspark.report.statistics import known_median, known_sum, ratio
from agentspark.report.summary import Segment, StepRow, Summary, Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDE = 10.6
_HALF = 5.1
_TALL = 2.7
# A step's number is written into its bar where the bar is at least this part of the axis.
_LABEL_SHARE = 0.018
# The height of a bar in a lane that is 1 high, and the width of a column on a step that is 1 wide.
_BAR = 0.72
_COLUMN = 0.76


@dataclass(frozen=True, slots=True)
class _Position:
    """All runs' steps with one number, together."""

    step: int
    speedup: float | None
    low: float | None
    high: float | None
    cached: float
    computed: float


def timeline_plot(timeline: Timeline) -> str:
    """Both arms of one run over time: queue, prefill and decode of every call."""
    arms = (("Accelerated", timeline.accelerated), ("Baseline", timeline.baseline))
    rows = sum(1 + max(segment.lane for segment in segments) for _, segments in arms)
    with style.drawing(_WIDE, 0.75 + 0.5 * rows) as (figure, axes):
        end = max(s.start_ms + s.total_ms for _, segments in arms for s in segments) / 1e3
        base = 0.0
        for name, segments in arms:
            lanes = 1 + max(segment.lane for segment in segments)
            _draw_run(axes, segments, base, end)
            axes.text(-0.01 * end, base + (lanes - 1) / 2, name, ha="right", va="center")
            last = max(segments, key=lambda segment: segment.start_ms + segment.total_ms)
            finish = last.start_ms + last.total_ms
            axes.text(
                finish / 1e3 + 0.008 * end,
                base + last.lane,
                duration(finish),
                ha="left",
                va="center",
                fontweight="bold",
            )
            base += lanes + 0.25
        axes.set_xlim(0, end * 1.07)
        axes.set_ylim(-0.6, base - 0.65)
        axes.set_yticks([])
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("seconds since the run began")
        return style.to_svg(figure, "Timeline of one run in both arms")


def _draw_run(axes: Axes, segments: Sequence[Segment], base: float, end: float) -> None:
    bars: dict[str, list[style.Box]] = defaultdict(list)
    outlines: list[style.Box] = []
    for segment in segments:
        at = segment.start_ms / 1e3
        y = base + segment.lane
        whole = segment.total_ms / 1e3
        outlines.append((at, y - _BAR / 2, whole, _BAR))
        if whole >= _LABEL_SHARE * end:
            axes.text(
                at + whole / 2,
                y,
                str(segment.step),
                ha="center",
                va="center_baseline",
                color=style.ON_BAR,
            )
        for length_ms, colour in (
            (segment.queue_ms, style.QUEUE),
            (segment.prefill_ms, style.PREFILL),
            (segment.decode_ms, style.DECODE),
            (segment.other_ms, style.BASELINE),
        ):
            if length_ms > 0:
                bars[colour].append((at, y - _BAR / 2, length_ms / 1e3, _BAR))
            at += length_ms / 1e3
    for colour, boxes in bars.items():
        style.draw_boxes(axes, boxes, facecolor=colour, linewidth=0)
    # A hairline in the panel's colour keeps calls apart that follow without a pause.
    style.draw_boxes(axes, outlines, facecolor="none", edgecolor=style.PANEL, linewidth=0.9)


def speedup_plot(summary: Summary) -> str:
    """The speed-up of every step with its spread, and that of the whole with its interval."""
    told = [place for place in _positions(summary.steps) if place.speedup is not None]
    with style.drawing(_HALF, _TALL) as (figure, axes):
        axes.axhline(1.0, color=style.BASELINE, linewidth=1.2, zorder=1)
        if summary.speedup.total is not None:
            axes.axhline(
                summary.speedup.total, color=style.ACCELERATED, linewidth=1, ls=(0, (4, 3))
            )
        if summary.speedup_interval is not None:
            band = summary.speedup_interval
            axes.axhspan(band.low, band.high, color=style.ACCELERATED, alpha=0.12, linewidth=0)
        spread = [
            (place.step, place.low, place.high)
            for place in told
            if place.low is not None and place.high is not None
        ]
        if spread:
            axes.vlines(*zip(*spread, strict=True), color=style.ACCELERATED, linewidth=1.4)
        axes.plot(
            [place.step for place in told],
            [place.speedup for place in told if place.speedup is not None],
            "o",
            color=style.ACCELERATED,
            markersize=5.5,
            markeredgecolor=style.PANEL,
            markeredgewidth=0.8,
        )
        highest = max([1.0, *(place.high or place.speedup or 0.0 for place in told)])
        axes.set_ylim(0, highest * 1.12)
        _step_axis(axes, [place.step for place in told])
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}×")  # noqa: RUF001
        return style.to_svg(figure, "Speed-up of each step")


def tokens_plot(summary: Summary) -> str:
    """The accelerated arm's prompt tokens of every step: computed, and taken from the cache."""
    places = _positions(summary.steps)
    steps = [place.step for place in places]
    with style.drawing(_HALF, _TALL) as (figure, axes):
        computed = [(p.step - _COLUMN / 2, 0.0, _COLUMN, p.computed) for p in places]
        cached = [(p.step - _COLUMN / 2, p.computed, _COLUMN, p.cached) for p in places]
        style.draw_boxes(axes, computed, facecolor=style.PREFILL, linewidth=0)
        style.draw_boxes(axes, cached, facecolor=style.CACHED, linewidth=0)
        axes.set_ylim(0, max([1.0, *(p.computed + p.cached for p in places)]) * 1.05)
        _step_axis(axes, steps)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        return style.to_svg(figure, "Prompt tokens of each step, computed and cached")


def acceptance_plot(histogram: Sequence[int], mean: float | None) -> str:
    """The share of rounds by the tokens they gave: the drafts kept, and the target's own one."""
    rounds = sum(histogram)
    with style.drawing(_HALF, _TALL) as (figure, axes):
        lengths = [kept + 1 for kept in range(len(histogram))]
        shares = [100.0 * number / rounds if rounds else 0.0 for number in histogram]
        axes.bar(lengths, shares, width=_COLUMN, color=style.DECODE, linewidth=0)
        for length, share in zip(lengths, shares, strict=True):
            if share > 0:
                label = f"{share:.0f}%" if share >= 1 else "<1%"
                axes.text(length, share + 0.8, label, ha="center", va="bottom", fontsize=7.5)
        if mean is not None:
            axes.axvline(mean, color=style.ACCELERATED, linewidth=1.2, ls=(0, (4, 3)), zorder=0.9)
            axes.text(
                mean + 0.1,
                max(shares) * 1.16,
                f"mean {mean:.2f}",
                color=style.ACCELERATED,
                va="center",
            )
        axes.set_ylim(0, max([*shares, 1.0]) * 1.24)
        axes.set_xticks(lengths)
        axes.grid(axis="x", visible=False)
        axes.set_xlabel("tokens per round")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}%")
        return style.to_svg(figure, "Tokens per round of the target")


def _step_axis(axes: Axes, steps: Sequence[int]) -> None:
    from matplotlib.ticker import MaxNLocator

    # A single step has one tick: where there had to be two, it would stand between fractions.
    count = max(1, len(set(steps)))
    ticks = MaxNLocator(nbins=min(20, max(2, count)), integer=True, min_n_ticks=min(2, count))
    axes.xaxis.set_major_locator(ticks)
    axes.set_xlim(min(steps, default=0) - 0.7, max(steps, default=1) + 0.7)
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("step")


def _positions(rows: Sequence[StepRow]) -> list[_Position]:
    """One position per step number. Of several runs: the ratio of sums, extremes, median tokens."""
    steps: dict[int, list[StepRow]] = defaultdict(list)
    for row in rows:
        steps[row.step].append(row)
    return [_position(step, steps[step]) for step in sorted(steps)]


def _position(step: int, rows: Sequence[StepRow]) -> _Position:
    timed = [r for r in rows if r.baseline.total_ms is not None and r.accelerated.total_ms]
    gain = ratio(
        known_sum(row.baseline.total_ms for row in timed),
        known_sum(row.accelerated.total_ms for row in timed),
    )
    ends = [
        end
        for row in timed
        for end in (row.speedup.total, row.speedup.total_low, row.speedup.total_high)
        if end is not None
    ]
    prompt = known_median(row.accelerated.prompt_tokens for row in rows) or 0.0
    cached = known_median(row.accelerated.cached_tokens for row in rows) or 0.0
    return _Position(
        step=step,
        speedup=rows[0].speedup.total if len(rows) == 1 else gain,
        low=min(ends) if len(ends) > 1 else None,
        high=max(ends) if len(ends) > 1 else None,
        cached=min(cached, prompt),
        computed=max(0.0, prompt - cached),
    )
