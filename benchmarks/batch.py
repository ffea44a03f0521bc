"""Throughput with several streams at once, in both arms."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pydantic import JsonValue

from agentspark.cli.arms import arm_options, in_turn
from agentspark.engine.request import Request
from agentspark.report.statistics import ratio
from agentspark.trace.record import ARMS, Arm
from benchmarks.bench import Bench
from benchmarks.measurement import Measurement
from benchmarks.progress import track
from benchmarks.prompts import Prompt

STREAMS = (1, 2, 4, 8)


def measure(bench: Bench) -> Measurement:
    """Tokens per second of all streams together, for information; the value is accelerated's most.

    The same prompts run at every number of streams: as many groups as it takes, each submitted at
    once and waited for, so that a group's slowest answer is in its time.
    """
    prompts = [bench.prompts[at % len(bench.prompts)] for at in range(max(STREAMS))]
    speeds: dict[Arm, dict[int, float | None]] = {arm: {} for arm in ARMS}
    for turn, streams in enumerate(track(STREAMS, "several streams")):
        groups = [prompts[at : at + streams] for at in range(0, len(prompts), streams)]
        for arm in in_turn(ARMS, turn):
            tokens, seconds = 0, 0.0
            for repeat in range(bench.settings.repeats):
                for number, group in enumerate(groups):
                    salt = f"batch/{streams}/{repeat}/{number}"
                    more, took = _run(bench, group, arm, salt)
                    tokens, seconds = tokens + more, seconds + took
            speeds[arm][streams] = ratio(tokens, seconds)
    figures: dict[str, JsonValue] = {
        str(streams): {
            **{f"{arm}_tokens_s": speeds[arm][streams] for arm in ARMS},
            "ratio": ratio(speeds["accelerated"][streams], speeds["baseline"][streams]),
        }
        for streams in STREAMS
    }
    known = [speed for speed in speeds["accelerated"].values() if speed is not None]
    return Measurement(
        name="batch",
        title=f"throughput at {', '.join(map(str, STREAMS))} streams, the most of accelerated",
        unit="tokens/s",
        value=max(known, default=None),
        note="; ".join(
            f"{arm} " + ", ".join(f"{speeds[arm][n] or 0:.1f}" for n in STREAMS) for arm in ARMS
        ),
        figures=figures,
    )


def _run(bench: Bench, group: Sequence[Prompt], arm: Arm, salt: str) -> tuple[int, float]:
    """Tokens and seconds of one group, all of it submitted at once."""
    options = arm_options(arm, cache_salt=salt)
    started = time.perf_counter()
    handles = [
        bench.engine.submit(
            Request(prompt_token_ids=p.token_ids, sampling=bench.sampling(), options=options)
        )
        for p in group
    ]
    tokens = sum(handle.result().counts.completion_tokens for handle in handles)
    return tokens, time.perf_counter() - started
