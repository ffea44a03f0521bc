"""A whole agent's work, replayed step by step in both arms: what ``agentspark replay`` shows."""

from __future__ import annotations

from pydantic import JsonValue

from agentspark.cli.replay import run_transcripts
from agentspark.report import summarize
from agentspark.report.summary import Summary
from agentspark.trace.reader import read_trace
from agentspark.trace.record import ARMS
from benchmarks.bench import Bench
from benchmarks.measurement import Measurement


def measure(bench: Bench) -> Measurement:
    """Baseline time over accelerated time, summed over all steps of all transcripts.

    Steps run one at a time and the arms take turns at every step. Every transcript starts cold;
    what later steps share with earlier ones is the accelerated arm's to reuse.
    """
    before = len(read_trace(bench.trace).records)
    run_transcripts(bench.engine, bench.transcripts, ARMS, bench.sampling(), bench.settings.repeats)
    records = read_trace(bench.trace).records[before:]
    summary = summarize(records, title="replay")
    speedup, arms = summary.speedup, summary.arms
    return Measurement(
        name="replay",
        title="replay of multi-step transcripts, total time, accelerated against baseline",
        unit="x",
        value=speedup.total,
        bar=3.5,
        note=f"prefill {_times(speedup.prefill)}, decode {_times(speedup.decode)}; "
        f"{summary.counts.steps} steps, outputs "
        + ("identical" if summary.outputs_identical else "differ"),
        figures={
            "transcripts": len(bench.transcripts),
            "steps": summary.counts.steps,
            "repeats": summary.counts.repeats,
            "outputs_identical": summary.outputs_identical,
            "speedup": speedup.model_dump(mode="json"),
            "arms": {
                arm: {
                    "total_ms": arms[arm].total_ms,
                    "prefill_ms": arms[arm].prefill_ms,
                    "decode_ms": arms[arm].decode_ms,
                    "prompt_tokens": arms[arm].prompt_tokens,
                    "cached_tokens": arms[arm].cached_tokens,
                    "completion_tokens": arms[arm].completion_tokens,
                    "accepted_length": arms[arm].accepted_length,
                }
                for arm in ARMS
            },
            "per_transcript": _per_transcript(summary),
        },
    )


def _per_transcript(summary: Summary) -> dict[str, JsonValue]:
    """The total speed-up of each transcript alone."""
    times: dict[str, tuple[float, float]] = {}
    for step in summary.steps:
        base, sped = times.get(step.run or "", (0.0, 0.0))
        base += step.baseline.total_ms or 0.0
        sped += step.accelerated.total_ms or 0.0
        times[step.run or ""] = (base, sped)
    return {run: base / sped if sped else None for run, (base, sped) in times.items()}


def _times(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}x"
