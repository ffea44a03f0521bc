"""Whether constrained answers are what was asked for: random schemas and tools, sampled."""

from __future__ import annotations

from agentspark.cli.arms import arm_options
from agentspark.engine.result import Completion
from agentspark.sampling.params import SamplingParams
from benchmarks.bench import Bench
from benchmarks.measurement import Measurement
from benchmarks.progress import track
from benchmarks.structured import MAX_TOKENS, Case, cases

CASES = 300
_AT_ONCE = 8


def measure(bench: Bench) -> Measurement:
    """The share of answers that validate, at temperature 1, accelerated, eight at a time.

    Two thirds of the cases are a schema for the answer, one third tools of which one must be
    called. A limit of the settings bounds the cases.
    """
    work = list(cases(bench.prompts, min(bench.settings.limit or CASES, CASES)))
    done: list[tuple[Case, Completion]] = []
    for start in track(range(0, len(work), _AT_ONCE), "schemas"):
        some = work[start : start + _AT_ONCE]
        handles = [
            bench.engine.submit(
                bench.engine.chat_request(
                    case.messages,
                    SamplingParams(max_tokens=MAX_TOKENS, temperature=1.0),
                    chat=case.chat,
                    options=arm_options("accelerated", cache_salt="schemas"),
                )
            )
            for case in some
        ]
        done += [(case, handle.result()) for case, handle in zip(some, handles, strict=True)]
    wrong = [case.id for case, answer in done if not case.valid(answer)]
    cut = sum(answer.finish_reason == "length" for _, answer in done)
    return Measurement(
        name="schemas",
        title="answers at temperature 1 that validate, random schemas and tools",
        unit="share",
        value=1.0 - len(wrong) / len(done) if done else None,
        bar=1.0,
        note=f"{len(done)} answers, {cut} of them closed at their limit",
        figures={
            "answers": len(done),
            "wrong": list(wrong),
            "closed_at_limit": cut,
            "tokens": sum(answer.counts.completion_tokens for _, answer in done),
        },
    )
