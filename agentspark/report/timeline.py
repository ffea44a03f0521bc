"""One run of each arm laid along a time axis."""

from __future__ import annotations

from collections.abc import Sequence

from agentspark.report.clock import by_unit, took_turns
from agentspark.report.pairing import Pairing, StepPair
from agentspark.report.statistics import speedup
from agentspark.report.summary import Segment, Timeline
from agentspark.trace.record import Arm


def build_timeline(pairing: Pairing) -> Timeline | None:
    """The run whose speed-up is the median of all runs; ``None`` where no times are known."""
    timed = [pair for pair in pairing.compared if _timed(pair)]
    runs = [
        (gain, unit, pairs)
        for unit, pairs in by_unit(timed).items()
        if (gain := speedup(pairs, "total_ms")) is not None
    ]
    if not runs:
        return None
    runs.sort(key=lambda run: run[0])
    _, (run, repeat), pairs = runs[(len(runs) - 1) // 2]
    joined = took_turns(pairs)
    return Timeline(
        run=run,
        repeat=repeat,
        joined=joined,
        baseline=_segments(pairs, "baseline", joined=joined),
        accelerated=_segments(pairs, "accelerated", joined=joined),
    )


def _timed(pair: StepPair) -> bool:
    return pair.baseline.total_ms is not None and pair.accelerated.total_ms is not None


def _segments(pairs: Sequence[StepPair], arm: Arm, *, joined: bool) -> list[Segment]:
    calls = sorted(
        ((pair.step, getattr(pair, arm)) for pair in pairs), key=lambda c: c[1].started_at
    )
    origin = calls[0][1].started_unix
    segments: list[Segment] = []
    lanes: list[float] = []  # when each lane is free again
    for step, record in calls:
        start_ms = (record.started_unix - origin) * 1e3
        if joined:
            start_ms = lanes[0] if lanes else 0.0
        # Started within a millisecond of the other's end: the clocks' grain, not a parallel call.
        lane = next((at for at, free in enumerate(lanes) if free <= start_ms + 1.0), len(lanes))
        lanes[lane : lane + 1] = [start_ms + record.total_ms]
        segments.append(
            Segment(
                step=step,
                name=record.step_name,
                lane=lane,
                start_ms=round(start_ms, 3),
                queue_ms=record.queue_ms or 0.0,
                prefill_ms=record.prefill_ms or 0.0,
                decode_ms=record.decode_ms or 0.0,
                total_ms=record.total_ms,
            )
        )
    return segments
