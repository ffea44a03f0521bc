"""Throughput with several streams at once, in both arms."""

from __future__ import annotations

from pydantic import JsonValue

from agentspark.cli.arms import arm_options, in_turn
from agentspark.report.statistics import known_median, ratio
from agentspark.trace.record import ARMS, Arm
from benchmarks.bench import Bench
from benchmarks.measurement import Measurement
from benchmarks.progress import track
from benchmarks.streams import groups_of, run_groups

STREAMS = (1, 2, 4, 8, 16)


def measure(bench: Bench) -> Measurement:
    """Tokens per second of all streams together; the value is the least ratio of the two arms.

    The same prompts run at every number of streams: as many groups as it takes, each submitted at
    once and waited for, so that a group's slowest answer is in its time.
    """
    speeds: dict[Arm, dict[int, list[float]]] = {arm: {n: [] for n in STREAMS} for arm in ARMS}
    work = [(repeat, n) for repeat in range(bench.settings.repeats) for n in STREAMS]
    for turn, (repeat, streams) in enumerate(track(work, "several streams")):
        groups = groups_of(bench.prompts, streams, max(STREAMS))
        for arm in in_turn(ARMS, turn):
            tokens, seconds = run_groups(
                bench, groups, arm_options(arm), f"batch/{arm}/{streams}/{repeat}"
            )
            speeds[arm][streams].append(tokens / seconds)
    median = {arm: {n: known_median(speeds[arm][n]) for n in STREAMS} for arm in ARMS}
    ratios = {n: ratio(median["accelerated"][n], median["baseline"][n]) for n in STREAMS}
    figures: dict[str, JsonValue] = {
        str(n): {
            **{f"{arm}_tokens_s": median[arm][n] for arm in ARMS},
            **{f"{arm}_against_one": ratio(median[arm][n], median[arm][1]) for arm in ARMS},
            "ratio": ratios[n],
        }
        for n in STREAMS
    }
    known = [value for value in ratios.values() if value is not None]
    return Measurement(
        name="batch",
        title=f"throughput at {', '.join(map(str, STREAMS))} streams, least accelerated/baseline",
        unit="x",
        value=min(known, default=None),
        bar=1.0,
        note="; ".join(
            f"{arm} " + ", ".join(f"{median[arm][n] or 0:.1f}" for n in STREAMS) for arm in ARMS
        ),
        figures=figures,
    )
