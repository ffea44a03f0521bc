"""Whether the scheduler is worth having: against the best fixed number of verified drafts."""

from __future__ import annotations

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

    Ways to verify take turns within each number of streams, and the order is turned every repeat.
    The best fixed number is chosen after the fact, which favours it.
    """
    speeds: dict[tuple[int, Verify], list[float]] = {(n, v): [] for n in STREAMS for v in VERIFY}
    work = [
        (repeat, n, VERIFY[(at + repeat) % len(VERIFY)])
        for repeat in range(bench.settings.repeats)
        for n in STREAMS
        for at in range(len(VERIFY))
    ]
    for repeat, streams, verify in track(work, "ways to verify"):
        tokens, seconds = run_groups(
            bench,
            groups_of(bench.prompts, streams, max(STREAMS)),
            RequestOptions(verify=verify),
            f"scheduler/{streams}/{verify}/{repeat}",
        )
        speeds[streams, verify].append(tokens / seconds)
    figures: dict[str, JsonValue] = {}
    ratios: dict[int, float | None] = {}
    for n in STREAMS:
        median = {v: known_median(speeds[n, v]) for v in VERIFY}
        best = max((s for v, s in median.items() if v != "auto" and s is not None), default=None)
        ratios[n] = ratio(median["auto"], best)
        figures[str(n)] = {
            "tokens_s": {str(v): s for v, s in median.items()},
            "against_best_fixed": ratios[n],
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
