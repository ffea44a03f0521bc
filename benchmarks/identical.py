"""Whether acceleration changes a single token of greedy output."""

from __future__ import annotations

from agentspark.common import common_prefix
from agentspark.engine.result import Completion
from agentspark.report.statistics import ratio
from benchmarks.bench import Bench
from benchmarks.measurement import Measurement
from benchmarks.pairs import Pair


def measure(bench: Bench) -> Measurement:
    """The share of prompts whose accelerated answers are the baseline's, token by token.

    Accelerated: every source of drafts, prefixes shared. Baseline: neither. A prompt counts as the
    same only if all repetitions are.
    """
    parted = {pair.prompt.id: at for pair in bench.pairs if (at := _first_difference(pair)) >= 0}
    same = len(bench.pairs) - len(parted)
    config = bench.engine.config
    mode = "exact mode" if config.exact else "exact mode off"
    tokens = sum(len(run.token_ids) for pair in bench.pairs for run in pair.runs["baseline"])
    return Measurement(
        name="identical",
        title=f"greedy outputs, accelerated and baseline the same ({mode}, {bench.engine.dtype})",
        unit="share",
        value=ratio(same, len(bench.pairs)),
        bar=1.0,
        note=f"{same} of {len(bench.pairs)} prompts, {tokens} tokens",
        figures={
            "prompts": len(bench.pairs),
            "same": same,
            "tokens": tokens,
            "repeats": bench.settings.repeats,
            "first_difference": dict(parted),
        },
    )


def _first_difference(pair: Pair) -> int:
    """The first position at which any two runs of a prompt part; -1 where none do."""
    runs = [*pair.runs["baseline"], *pair.runs["accelerated"]]
    places = [_parts_at(runs[0], run) for run in runs[1:]]
    return min((place for place in places if place >= 0), default=-1)


def _parts_at(one: Completion, other: Completion) -> int:
    if one.token_ids == other.token_ids:
        return -1
    return common_prefix(one.token_ids, other.token_ids)
