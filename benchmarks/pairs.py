"""Each prompt answered in both arms in turn, and the speed of an answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agentspark.cli.arms import arm_options, in_turn
from agentspark.engine.engine import Engine
from agentspark.engine.result import Completion
from agentspark.report.statistics import known_median, ratio
from agentspark.sampling.params import SamplingParams
from agentspark.trace.record import ARMS, Arm
from benchmarks.progress import track
from benchmarks.prompts import Prompt


@dataclass(frozen=True, slots=True)
class Pair:
    """One prompt's completions in each arm, a completion per repetition."""

    prompt: Prompt
    runs: dict[Arm, list[Completion]] = field(default_factory=lambda: {arm: [] for arm in ARMS})

    def speed(self, arm: Arm) -> float | None:
        """Decode tokens per second, the median of the repetitions."""
        return known_median(decode_speed(run) for run in self.runs[arm])

    @property
    def speedup(self) -> float | None:
        """Accelerated over baseline."""
        return ratio(self.speed("accelerated"), self.speed("baseline"))


def run_pairs(
    engine: Engine, prompts: Sequence[Prompt], sampling: SamplingParams, repeats: int
) -> list[Pair]:
    """Answer every prompt ``repeats`` times in each arm, one call at a time, cold each time."""
    pairs = [Pair(prompt) for prompt in prompts]
    work = [(repeat, at, pair) for repeat in range(repeats) for at, pair in enumerate(pairs)]
    for repeat, at, pair in track(work, "both arms"):
        for arm in in_turn(ARMS, repeat + at):
            options = arm_options(arm, cache_salt=f"pairs/{pair.prompt.id}/{repeat}")
            answer = engine.generate(pair.prompt.token_ids, sampling, options=options)
            pair.runs[arm].append(answer)
    return pairs


def decode_speed(run: Completion) -> float | None:
    """Tokens per second after the first token; ``None`` for an answer of one token."""
    return ratio(run.counts.completion_tokens - 1 or None, run.timings.decode_s)


def total_speed(runs: Iterable[Completion]) -> float | None:
    """All tokens after the first ones over all decode time: long answers weigh more."""
    timed = [(run.counts.completion_tokens - 1, run.timings.decode_s or 0.0) for run in runs]
    return ratio(sum(tokens for tokens, _ in timed) or None, sum(seconds for _, seconds in timed))


def accepted_length(runs: Iterable[Completion]) -> float | None:
    """Mean tokens per round over all runs, bonus included; ``None`` without a round."""
    counts = [run.counts for run in runs]
    rounds = sum(count.rounds for count in counts)
    return ratio(sum(count.completion_tokens - 1 for count in counts if count.rounds), rounds)
