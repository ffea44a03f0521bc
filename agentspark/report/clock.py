"""Time on the wall: how long an arm was busy, and how long its runs took with their tools."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agentspark.report.pairing import Pairing, StepPair, Unit
from agentspark.trace.record import Arm, StepRecord

# Clocks are read at slightly different places; windows that touch do not overlap.
_TOUCH_S = 1e-3


@dataclass(frozen=True, slots=True)
class WallTime:
    """Seconds in which at least one call ran, and in which a run was under way."""

    busy_s: float
    wall_s: float


def busy_seconds(records: Iterable[StepRecord], *, queued: bool = True) -> float:
    """The time in which at least one of the calls ran; calls that overlap count once.

    ``queued`` tells whether a call that waits in the queue counts as running.
    """
    spans = sorted(
        (
            record.started_unix + (0.0 if queued else (record.queue_ms or 0.0) / 1e3),
            record.ended_unix,
        )
        for record in records
        if record.ended_unix is not None
    )
    busy, until = 0.0, float("-inf")
    for start, end in spans:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return busy


def by_unit(pairs: Iterable[StepPair]) -> dict[Unit, list[StepPair]]:
    """The pairs of each run and repetition, in the order given."""
    units: dict[Unit, list[StepPair]] = defaultdict(list)
    for pair in pairs:
        units[pair.run, pair.repeat].append(pair)
    return dict(units)


def took_turns(pairs: Sequence[StepPair]) -> bool:
    """Whether the arms of a run alternated step by step, so that neither ran undisturbed."""
    baseline = _window([pair.baseline for pair in pairs])
    accelerated = _window([pair.accelerated for pair in pairs])
    if baseline is None or accelerated is None:
        return True
    return min(baseline[1], accelerated[1]) - max(baseline[0], accelerated[0]) > _TOUCH_S


def wall_time(pairing: Pairing, arm: Arm) -> WallTime | None:
    """The summed wall time of an arm's runs; ``None`` where one of the runs cannot tell.

    A run tells where all its calls are paired and succeeded, and the arms did not take turns
    within it. Runs are summed as if they came one after another.
    """
    busy, wall = 0.0, 0.0
    for unit, pairs in by_unit(pairing.compared).items():
        records = [getattr(pair, arm) for pair in pairs]
        window = _window(records)
        if unit in pairing.incomplete or window is None or took_turns(pairs):
            return None
        busy += busy_seconds(records)
        wall += window[1] - window[0]
    return WallTime(busy, wall) if wall > 0 else None


def _window(records: Sequence[StepRecord]) -> tuple[float, float] | None:
    ends = [record.ended_unix for record in records if record.ended_unix is not None]
    if len(ends) < len(records) or not records:
        return None
    return min(record.started_unix for record in records), max(ends)
