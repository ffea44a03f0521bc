"""Sampled speculation under a grammar gives the distribution that sampling without it gives."""

from __future__ import annotations

from collections import Counter
from itertools import count

import pytest
import torch

from agentspark.engine import intake
from agentspark.engine.engine import Engine
from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.params import RequestOptions
from agentspark.engine.request import Request
from agentspark.sampling.draw import make_generator
from agentspark.sampling.params import SamplingParams
from tests.chance import worst_of_two

DRAWS = 800
PROMPT = list(range(40, 70))
SAMPLING = SamplingParams(max_tokens=12, temperature=1.5)


def sample(engine: Engine, constraint: Constraint, options: RequestOptions) -> tuple[Counter, int]:
    handles = [
        engine.submit(
            Request(
                prompt_token_ids=PROMPT, sampling=SAMPLING, options=options, constraint=constraint
            )
        )
        for _ in range(DRAWS)
    ]
    done = [handle.result(120) for handle in handles]
    return Counter(d.text for d in done), sum(d.counts.accepted_tokens for d in done)


def p_value(first: Counter, second: Counter) -> float:
    """Of the chi-square test that both samples (of equal size) come from one distribution."""
    keys = [key for key in first | second if first[key] + second[key] >= 10]
    rest = [sum(n for key, n in c.items() if key not in keys) for c in (first, second)]
    pairs = [(first[key], second[key]) for key in keys]
    pairs += [(rest[0], rest[1])] if sum(rest) else []
    statistic = sum((a - b) ** 2 / (a + b) for a, b in pairs)
    freedom = torch.tensor((len(pairs) - 1) / 2).double()
    return float(torch.special.gammaincc(freedom, torch.tensor(statistic / 2).double()))


def test_the_same_distribution(tiny_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = count(11)
    monkeypatch.setattr(intake, "make_generator", lambda seed: make_generator(next(seeds)))
    # Letters that the pruned draft vocabulary has and has not, forced parts, and three ends.
    constraint = Constraint.regex("(the|an?)[a-dw-z](, so it is)?!?")
    accepted = []

    def p_values() -> tuple[float, ...]:
        plain, _ = sample(tiny_engine, constraint, RequestOptions(speculation="off"))
        assert len(plain) > 8
        found = []
        for speculation in ("dspark", "auto"):
            options = RequestOptions(speculation=speculation, verify="full")  # type: ignore[arg-type]
            sped, kept = sample(tiny_engine, constraint, options)
            found.append(p_value(plain, sped))
            accepted.append(kept)
        return tuple(found)

    assert worst_of_two(p_values) > 0.01
    assert min(accepted) > DRAWS
