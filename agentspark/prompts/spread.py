"""Some of many prompts, evenly over the kinds of work they stand for."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from agentspark.prompts.prompt import Prompt


def spread_over_kinds(prompts: Sequence[Prompt], most: int, seed: int = 0) -> list[Prompt]:
    """Return at most ``most`` prompts, drawn at random, as many of each kind as there are.

    Kinds take turns, so that any stretch of the result holds about as many of each.
    """
    shuffled = list(prompts)
    random.Random(seed).shuffle(shuffled)
    kinds: dict[str, list[Prompt]] = {}
    for prompt in shuffled:
        kinds.setdefault(prompt.kind, []).append(prompt)
    rounds = itertools.zip_longest(*(kinds[kind] for kind in sorted(kinds)))
    taken = (prompt for turn in rounds for prompt in turn if prompt is not None)
    return list(itertools.islice(taken, most))
