"""How much faster constrained answers come when they are drafted and verified."""

from __future__ import annotations

from agentspark.cli.arms import arm_options, in_turn
from agentspark.engine.result import Completion
from agentspark.report.statistics import known_median, ratio
from agentspark.sampling.params import SamplingParams
from agentspark.trace.record import ARMS, Arm
from benchmarks.bench import Bench
from benchmarks.measurement import Measurement
from benchmarks.pairs import accepted_length, decode_speed, total_speed
from benchmarks.progress import track
from benchmarks.structured import Case, cases

CASES = 24


def measure(bench: Bench) -> Measurement:
    """Decode tokens per second under a grammar, accelerated over baseline with the same grammar.

    Greedy, one stream, the cases of ``schemas``. The value is the median over the cases.
    """
    work = list(cases(bench.prompts, min(bench.settings.limit or CASES, CASES)))
    runs: list[dict[Arm, Completion]] = []
    for at, case in enumerate(track(work, "grammar")):
        runs.append({arm: _answer(bench, case, arm) for arm in in_turn(ARMS, at)})
    kept = [ratio(decode_speed(run["accelerated"]), decode_speed(run["baseline"])) for run in runs]
    speed = {arm: total_speed(run[arm] for run in runs) for arm in ARMS}
    length = accepted_length([run["accelerated"] for run in runs])
    total = ratio(speed["accelerated"], speed["baseline"])
    same = sum(run["accelerated"].token_ids == run["baseline"].token_ids for run in runs)
    return Measurement(
        name="grammar",
        title="decode speed under a grammar, accelerated against baseline, one stream",
        unit="x",
        value=known_median(kept),
        bar=1.5,
        note=f"accepted length {_shown(length)}; all tokens over all time {_shown(total)}x",
        figures={
            "cases": len(runs),
            "total_ratio": total,
            "accelerated_tokens_s": speed["accelerated"],
            "baseline_tokens_s": speed["baseline"],
            "accepted_length": length,
            "same_output_share": ratio(same, len(runs)),
            "speedups": {case.id: value for case, value in zip(work, kept, strict=True)},
        },
    )


def _answer(bench: Bench, case: Case, arm: Arm) -> Completion:
    return bench.engine.chat(
        case.messages,
        SamplingParams(max_tokens=bench.settings.max_tokens),
        chat=case.chat,
        options=arm_options(arm, cache_salt=f"grammar/{case.id}"),
    )


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"
