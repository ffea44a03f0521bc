"""How much faster tokens follow each other when they are drafted and verified."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from agentspark.engine.result import Completion
from agentspark.report.statistics import known_median, ratio
from agentspark.trace.record import ARMS, Arm
from benchmarks.bench import Bench
from benchmarks.measurement import Measurement
from benchmarks.pairs import Pair, accepted_length, total_speed


def measure(bench: Bench) -> Measurement:
    """Decode tokens per second (prefill excluded), accelerated over baseline, one stream.

    Answers end where the model ends them. The value is the median over the prompts; the ratio of
    all tokens over all time, and the same per kind of prompt, are among the figures.
    """
    pairs = bench.pairs
    kinds = sorted({pair.prompt.kind for pair in pairs if pair.prompt.kind is not None})
    whole = _figures(pairs)
    length = accepted_length(_runs(pairs, "accelerated"))
    shown = "unknown" if length is None else f"{length:.2f}"
    return Measurement(
        name="decode",
        title="decode speed, accelerated against baseline, one stream",
        unit="x",
        value=known_median(pair.speedup for pair in pairs),
        bar=1.9,
        note=f"accepted length {shown}; all tokens over all time: {_times(whole['total_ratio'])}",
        figures={
            **whole,
            "by_kind": {
                kind: _figures([pair for pair in pairs if pair.prompt.kind == kind])
                for kind in kinds
            },
            "speedups": {pair.prompt.id: pair.speedup for pair in pairs},
        },
    )


def _figures(pairs: Sequence[Pair]) -> dict[str, JsonValue]:
    speed = {arm: total_speed(_runs(pairs, arm)) for arm in ARMS}
    sped = _runs(pairs, "accelerated")
    return {
        "prompts": len(pairs),
        "median_ratio": known_median(pair.speedup for pair in pairs),
        "total_ratio": ratio(speed["accelerated"], speed["baseline"]),
        "accelerated_tokens_s": speed["accelerated"],
        "baseline_tokens_s": speed["baseline"],
        "accepted_length": accepted_length(sped),
        "draft_tokens": sum(run.counts.draft_tokens for run in sped),
        "verified_tokens": sum(run.counts.verified_tokens for run in sped),
        "accepted_tokens": sum(run.counts.accepted_tokens for run in sped),
    }


def _runs(pairs: Sequence[Pair], arm: Arm) -> list[Completion]:
    return [run for pair in pairs for run in pair.runs[arm]]


def _times(value: JsonValue) -> str:
    return f"{value:.2f}x" if isinstance(value, float) else "unknown"
