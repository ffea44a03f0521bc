"""Whether the scheduler is worth having: against the best fixed number of verified drafts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from agentspark.engine.params import RequestOptions, Verify
from agentspark.report.statistics import known_median, ratio
from benchmarks.bench import Bench
from benchmarks.measurement import Measurement
from benchmarks.progress import track
from benchmarks.streams import groups_of, run_groups

STREAMS = (1, 4, 16)
# The scheduler, fixed numbers, and whole proposals.
VERIFY: tuple[Verify, ...] = ("auto", 1, 2, 3, 5, "full")


def measure(bench: Bench) -> Measurement:
    """Tokens per second with every source of drafts; the value is the least of auto / best fixed.

    Ways to verify take turns within each group of streams, in an order that moves on with every
    group and repeat: what the machine does meanwhile meets all of them alike.
    """
    speeds: dict[tuple[int, Verify], list[float]] = {(n, v): [] for n in STREAMS for v in VERIFY}
    work = [(repeat, n) for repeat in range(bench.settings.repeats) for n in STREAMS]
    for repeat, streams in track(work, "ways to verify"):
        for verify, speed in _speeds(bench, streams, repeat).items():
            speeds[streams, verify].append(speed)
    figures: dict[str, JsonValue] = {}
    ratios: dict[int, float | None] = {}
    for n in STREAMS:
        own = {verify: speeds[n, verify] for verify in VERIFY}
        median = {verify: known_median(found) for verify, found in own.items()}
        ratios[n] = _against_best(own)
        figures[str(n)] = {
            "tokens_s": {str(verify): speed for verify, speed in median.items()},
            "against_best_fixed": ratios[n],
            "against_best_of_these": ratio(median["auto"], median[_best(own)]),
        }
    known = [value for value in ratios.values() if value is not None]
    return Measurement(
        name="scheduler",
        title=f"scheduler against the best fixed verification, {', '.join(map(str, STREAMS))} "
        "streams, the least ratio",
        unit="x",
        value=min(known, default=None),
        bar=1.0,
        note=", ".join(f"{n}: {value or 0:.2f}x" for n, value in ratios.items()),
        figures=figures,
    )


def _speeds(bench: Bench, streams: int, repeat: int) -> dict[Verify, float]:
    """Tokens per second of every way to verify, over all groups of so many streams."""
    tokens, seconds = dict.fromkeys(VERIFY, 0), dict.fromkeys(VERIFY, 0.0)
    for number, group in enumerate(groups_of(bench.prompts, streams, max(STREAMS))):
        for at in range(len(VERIFY)):
            verify = VERIFY[(at + number + repeat) % len(VERIFY)]
            salt = f"scheduler/{streams}/{verify}/{repeat}/{number}"
            found = run_groups(bench, [group], RequestOptions(verify=verify), salt)
            tokens[verify] += found[0]
            seconds[verify] += found[1]
    return {verify: tokens[verify] / seconds[verify] for verify in VERIFY}


def _against_best(speeds: Mapping[Verify, Sequence[float]]) -> float | None:
    """The median over the repeats of the scheduler's speed to the best fixed number's.

    Which number is best is taken from the other repeats: of several alike the fastest in a repeat
    is the one that had luck there, and would be too good to compare with.
    """
    repeats = range(len(speeds["auto"]))
    if len(repeats) == 1:
        return ratio(speeds["auto"][0], speeds[_best(speeds)][0])
    ratios = []
    for own in repeats:
        others = {v: [s for at, s in enumerate(found) if at != own] for v, found in speeds.items()}
        ratios.append(ratio(speeds["auto"][own], speeds[_best(others)][own]))
    return known_median(ratios)


def _best(speeds: Mapping[Verify, Sequence[float]]) -> Verify:
    """The fixed number with the best median."""
    fixed = [verify for verify in speeds if verify != "auto"]
    return max(fixed, key=lambda verify: known_median(speeds[verify]) or 0.0)
