"""From paired records to the measures of a step and of an arm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from agentspark.report.clock import WallTime, busy_seconds
from agentspark.report.pairing import StepPair
from agentspark.report.statistics import (
    METRICS,
    add_histograms,
    known_count,
    known_median,
    known_middle,
    known_sum,
    ratio,
    speedup,
    spread,
)
from agentspark.report.summary import ArmTotals, Speedup, StepSide, StepSpeedup
from agentspark.trace.record import StepRecord

_COUNTS = (
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "rounds",
    "draft_tokens",
    "verified_tokens",
    "accepted_tokens",
)


def step_side(records: Sequence[StepRecord]) -> StepSide:
    """One arm of one step: medians over its repetitions."""
    first = records[0]
    hashes = {record.output_hash for record in records}
    return StepSide(
        **_each(records, _COUNTS, known_middle),
        **_each(records, METRICS, known_median),
        **_acceptance(records),
        tokens_per_second=_decode_rate(records),
        cost=known_median(None if r.cost is None else r.cost.total for r in records),
        gap_ms=known_median(record.gap_ms for record in records),
        finish_reason=first.finish_reason,
        output_hash=first.output_hash if len(hashes) == 1 else None,
        cache_break_position=first.cache_break_position,
    )


def arm_totals(records: Sequence[StepRecord], wall: WallTime | None = None) -> ArmTotals:
    """One arm as a whole: sums over its compared calls."""
    return ArmTotals(
        calls=len(records),
        **_each(records, _COUNTS, known_count),
        **_each(records, METRICS, known_sum),
        **_acceptance(records),
        tokens_per_second=_decode_rate(records),
        cost=_arm_cost(records),
        currency=next((r.cost.currency for r in records if r.cost is not None), None),
        median_ttft_ms=known_median(record.ttft_ms for record in records),
        median_total_ms=known_median(record.total_ms for record in records),
        busy_ms=None if wall is None else wall.busy_s * 1e3,
        tools_ms=None if wall is None else (wall.wall_s - wall.busy_s) * 1e3,
        wall_ms=None if wall is None else wall.wall_s * 1e3,
    )


def step_speedup(pairs: Sequence[StepPair]) -> StepSpeedup:
    """One step's speed-up, with the extremes of its repetitions."""
    extremes = spread(pairs, "total_ms")
    return StepSpeedup(
        **_speedups(pairs),
        total_low=extremes[0] if extremes else None,
        total_high=extremes[1] if extremes else None,
    )


def total_speedup(
    pairs: Sequence[StepPair],
    baseline: WallTime | None = None,
    accelerated: WallTime | None = None,
) -> Speedup:
    """The speed-up over many steps; ``wall`` where both arms' wall times are known."""
    wall = None
    if baseline is not None and accelerated is not None:
        wall = ratio(baseline.wall_s, accelerated.wall_s)
    return Speedup(**_speedups(pairs), wall=wall)


def _each(
    records: Sequence[StepRecord], names: Iterable[str], combine: Callable[[Iterable[Any]], Any]
) -> dict[str, Any]:
    return {name: combine(getattr(record, name) for record in records) for name in names}


def _speedups(pairs: Sequence[StepPair]) -> dict[str, float | None]:
    return {
        "total": speedup(pairs, "total_ms"),
        "prefill": speedup(pairs, "prefill_ms"),
        "ttft": speedup(pairs, "ttft_ms"),
        "decode": speedup(pairs, "decode_ms"),
    }


def _acceptance(records: Sequence[StepRecord]) -> dict[str, Any]:
    told = [record for record in records if record.rounds and record.completion_tokens]
    kept = sum((record.completion_tokens or 0) - 1 for record in told)
    return {
        "accepted_length": ratio(kept, sum(record.rounds or 0 for record in told)),
        "accepted_histogram": add_histograms(record.accepted_histogram for record in records),
    }


def _decode_rate(records: Sequence[StepRecord]) -> float | None:
    told = [record for record in records if record.decode_ms and record.completion_tokens]
    tokens = sum((record.completion_tokens or 0) - 1 for record in told)
    return ratio(tokens * 1e3, sum(record.decode_ms or 0.0 for record in told))


def _arm_cost(records: Sequence[StepRecord]) -> float | None:
    costs = [record.cost for record in records if record.cost is not None]
    if not costs:
        return None
    tokens = known_sum(part for c in costs for part in (c.prompt, c.cached, c.completion))
    machine = known_sum(cost.machine for cost in costs)
    if machine is not None:
        # Calls that ran at once shared one machine: charge the time it was busy, once.
        held = (
            sum(r.total_ms - (r.queue_ms or 0.0) for r in records if r.total_ms is not None) / 1e3
        )
        machine *= min(1.0, ratio(busy_seconds(records, queued=False), held) or 1.0)
    return known_sum((tokens, machine))
