"""Tokens per second of many streams at once over HTTP, in both arms."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydantic import JsonValue

from agentspark.cli.arms import in_turn
from agentspark.report.statistics import known_median, ratio
from agentspark.trace.record import ARMS, Arm
from benchmarks.bench import Settings
from benchmarks.http.chats import read_chats
from benchmarks.http.load import Load, run_load
from benchmarks.http.served import in_process
from benchmarks.measurement import Measurement
from benchmarks.progress import track

STREAMS = (1, 2, 4, 8, 16)

# Every stream answers so many chats, or more where there are few streams: drafts are kept more
# often in one text than in another, so streams end at different times, the last ones alone.
_CHATS_EACH = 8
# One stream and eight run next to each other, as their speeds are compared too.
_ORDER = (2, 1, 8, 4, 16)
_SCALE_BAR = 3.0
_SCALE_AT = 8

Loads = dict[Arm, dict[int, list[Load]]]


def measure(settings: Settings) -> list[Measurement]:
    """The worst ratio of the arms over all numbers of streams; and 8 streams against 1 in each.

    The arms take turns at every number of streams, and a ratio is the median over these pairs.
    """
    chats = read_chats(settings)[: max(STREAMS)]
    loads: Loads = {arm: {streams: [] for streams in STREAMS} for arm in ARMS}
    work = [(repeat, streams) for repeat in range(settings.repeats) for streams in _ORDER]
    with in_process(settings) as server:
        asyncio.run(run_load(server.url, chats[:2], 2, "accelerated", "", settings.max_tokens))
        for turn, (repeat, streams) in enumerate(track(work, "streams over HTTP")):
            # Whole times over: texts differ in speed, and loads are compared with each other.
            wanted = chats * -(-max(_CHATS_EACH * streams, *STREAMS) // len(chats))
            for arm in in_turn(ARMS, turn):
                load = run_load(server.url, wanted, streams, arm, str(repeat), settings.max_tokens)
                loads[arm][streams].append(asyncio.run(load))
    return [_arms(loads), *(_scale(loads, arm) for arm in ARMS)]


def _ratios(over: Sequence[Load], under: Sequence[Load]) -> list[float | None]:
    """The ratios of speeds of loads that ran beside each other."""
    return [ratio(a.tokens_s, b.tokens_s) for a, b in zip(over, under, strict=True)]


def _arms(loads: Loads) -> Measurement:
    fast, slow = loads["accelerated"], loads["baseline"]
    pairs = {streams: _ratios(fast[streams], slow[streams]) for streams in STREAMS}
    ratios = {streams: known_median(pairs[streams]) for streams in STREAMS}
    known = [value for value in ratios.values() if value is not None]
    figures: dict[str, JsonValue] = {
        str(streams): {
            "baseline_tokens_s": known_median(load.tokens_s for load in slow[streams]),
            "accelerated_tokens_s": known_median(load.tokens_s for load in fast[streams]),
            "ratio": ratios[streams],
            "ratios": [*pairs[streams]],
        }
        for streams in STREAMS
    }
    return Measurement(
        name="streams",
        title=f"accelerated against baseline over HTTP at {', '.join(map(str, STREAMS))} streams, "
        "the worst",
        unit="x",
        value=min(known, default=None),
        bar=1.0,
        note=", ".join(f"{streams}: {ratios[streams] or 0:.2f}x" for streams in STREAMS),
        figures=figures,
    )


def _scale(loads: Loads, arm: Arm) -> Measurement:
    many, one = loads[arm][_SCALE_AT], loads[arm][1]
    most, single = (known_median(load.tokens_s for load in each) for each in (many, one))
    return Measurement(
        name=f"scale-{arm}",
        title=f"tokens per second of {_SCALE_AT} streams against 1, {arm}",
        unit="x",
        value=known_median(_ratios(many, one)),
        bar=_SCALE_BAR,
        note=f"{single or 0:.1f} and {most or 0:.1f} tokens/s",
        figures={"one_tokens_s": single, "many_tokens_s": most},
    )
