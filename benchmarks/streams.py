"""Several streams at once: groups of prompts, each submitted together and waited for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from agentspark.engine.params import RequestOptions
from agentspark.engine.request import Request
from benchmarks.bench import Bench
from benchmarks.prompts import Prompt


def groups_of(prompts: Sequence[Prompt], streams: int, most: int) -> list[list[Prompt]]:
    """``most`` prompts (repeated where there are fewer) in groups of ``streams``."""
    taken = [prompts[at % len(prompts)] for at in range(most)]
    return [taken[at : at + streams] for at in range(0, most, streams)]


def run_groups(
    bench: Bench, groups: Sequence[Sequence[Prompt]], options: RequestOptions, salt: str
) -> tuple[int, float]:
    """Tokens and seconds of all groups, one after the other; prefixes are shared in a group only.

    A group's slowest answer is in its time.
    """
    tokens, began = 0, time.perf_counter()
    for number, group in enumerate(groups):
        own = replace(options, cache_salt=f"{salt}/{number}") if options.share_prefix else options
        handles = [
            bench.engine.submit(
                Request(prompt_token_ids=p.token_ids, sampling=bench.sampling(), options=own)
            )
            for p in group
        ]
        tokens += sum(handle.result().counts.completion_tokens for handle in handles)
    return tokens, time.perf_counter() - began
