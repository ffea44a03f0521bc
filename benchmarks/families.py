"""Drafters of several families against each other: accepted length in real rounds."""

from __future__ import annotations

import dataclasses

from pydantic import JsonValue

from agentspark.evaluation.contestants import parse_contestants
from agentspark.evaluation.results import Evaluation, Score
from agentspark.evaluation.run import EvalConfig, evaluate
from agentspark.report.statistics import ratio
from benchmarks.bench import FRESH_KV_TOKENS, Bench
from benchmarks.measurement import Measurement

_TEMPERATURES = (0.0, 1.0)


def measure(bench: Bench) -> Measurement:
    """Accepted length of the first checkpoint over that of the best other, whole blocks verified.

    The value is the lower one of the ratios at temperatures 0 and 1. Nothing is trained: the
    folders are given (``--families``), and whether their training was alike is theirs to say.
    """
    folders = bench.settings.families
    title = "accepted length, the first checkpoint against the best of the others"
    if len(folders) < 2:
        return Measurement(
            name="families", title=title, unit="x", value=None, bar=1.1, figures={},
            note="needs two checkpoints or more: --families FIRST,OTHER",
        )  # fmt: skip
    found = _evaluate(bench)
    first, *others = (entrant.name for entrant in found.entrants)
    ratios = {
        other: [ratio(_length(found, first, t), _length(found, other, t)) for t in _TEMPERATURES]
        for other in others
    }
    known = [value for both in ratios.values() for value in both if value is not None]
    shown = ", ".join(f"{e.name} {_shown(found, e.name)}" for e in found.entrants)
    return Measurement(
        name="families",
        title=title,
        unit="x",
        value=min(known) if len(known) == 2 * len(others) else None,
        bar=1.1,
        note=f"at temperature 0 and 1: {shown}",
        figures={
            "over": {other: list(both) for other, both in ratios.items()},
            "prompts": found.setup.prompts,
            "outputs_identical": not found.differences,
            "scores": {
                f"{entrant.name} at {t:g}": _figures(found.score(entrant.name, t))
                for entrant in found.entrants
                for t in _TEMPERATURES
            },
        },
    )


def _evaluate(bench: Bench) -> Evaluation:
    settings = bench.settings
    engine = dataclasses.replace(settings.config, kv_tokens=FRESH_KV_TOKENS)
    config = EvalConfig(
        target=settings.model,
        contestants=parse_contestants([str(folder) for folder in settings.families]),
        prompts=[settings.prompts],
        limit=settings.limit,
        max_tokens=settings.max_tokens,
        temperatures=_TEMPERATURES,
        engine=engine,
    )
    return list(evaluate(config))[-1]


def _length(found: Evaluation, name: str, temperature: float) -> float | None:
    score = found.score(name, temperature)
    return None if score is None else score.accepted_length


def _shown(found: Evaluation, name: str) -> str:
    lengths = (_length(found, name, t) for t in _TEMPERATURES)
    return " and ".join("unknown" if length is None else f"{length:.2f}" for length in lengths)


def _figures(score: Score | None) -> dict[str, JsonValue]:
    if score is None:
        return {}
    return {
        "accepted_length": score.accepted_length,
        "conditional": list(score.conditional),
        "verified_tokens": score.verified_tokens,
        "wasted_tokens": score.wasted_tokens,
        "tokens_s": score.tokens_s,
        "speedup": score.speedup,
    }
