"""A part of many prompts stands for all their kinds."""

from __future__ import annotations

from agentspark.prompts.prompt import Prompt
from agentspark.prompts.spread import spread_over_kinds


def test_prompts_are_drawn_evenly_over_their_kinds():
    many = [Prompt(f"{kind}{n}", kind, None, [1]) for kind in "abc" for n in range(40)]
    few = [Prompt(f"d{n}", "d", None, [1]) for n in range(3)]
    chosen = spread_over_kinds([*many, *few], 33)
    kinds = [prompt.kind for prompt in chosen]
    assert [kinds.count(kind) for kind in "abcd"] == [10, 10, 10, 3]
    assert len({prompt.id for prompt in chosen}) == 33
    assert spread_over_kinds([*many, *few], 33) == chosen
    assert spread_over_kinds([*many, *few], 33, seed=1) != chosen
    assert len(spread_over_kinds(few, 10)) == 3
