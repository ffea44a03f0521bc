"""``agentspark train``: a drafter for a target, from a file of prompts."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

from agentspark.cli.adapt import adapt
from agentspark.cli.console import err, out, say
from agentspark.cli.fields import from_fields
from agentspark.cli.stopping import stoppable
from agentspark.cli.train_options import TrainOptions

if TYPE_CHECKING:
    from agentspark.train.config import TrainConfig
    from agentspark.train.pipeline import TrainOutcome


@from_fields(TrainOptions)
def train(options: TrainOptions) -> None:
    """Let the target answer prompts, train a drafter on the answers, write it with its card.

    With --from-traces, fit the drafter --init to an agent's recorded work instead, and write it
    only if it beats --init on steps held out. Killed or interrupted, the same command goes on.
    """
    from agentspark.train.ranks import Ranks

    options.check()
    kept = f"Stopped. What is done is kept in {options.folder}: the same command goes on."
    # Other ranks have nothing to save, and wait for the first one where no handler would run.
    with stoppable(kept) if Ranks.from_environment().first else nullcontext():
        if options.from_traces:
            adapt(options, _command())
        else:
            _train(options.config(), options.data_licence)


def _train(config: TrainConfig, data_licence: str | None) -> None:
    from agentspark.train.pipeline import train_drafter
    from agentspark.train.progress import rich_stages
    from agentspark.train.ranks import Ranks

    stages = rich_stages(err())
    outcome = train_drafter(config, stages, command=_command(), data_licence=data_licence, tell=say)
    if not Ranks.from_environment().first:
        return
    for warning in outcome.warnings:
        say(warning)
    responses = "1 response" if outcome.responses == 1 else f"{outcome.responses} responses"
    say(f"{responses}; {_measured(outcome)}")
    out().print(str(outcome.drafter), markup=False, soft_wrap=True)


def _measured(outcome: TrainOutcome) -> str:
    from agentspark.train.evaluate import shown_figure

    if not outcome.held_out:
        return (
            "no prompt was held out, so nothing was measured: give more prompts, or use "
            "agentspark eval"
        )
    greedy, sampled = map(shown_figure, (outcome.tau.greedy, outcome.tau.sampled))
    return f"accepted length on held-out ones {greedy} greedy, {sampled} at temperature 1"


def _command() -> str:
    """The command as it was given, under ``torchrun`` with that: it decides the batch."""
    from agentspark.train.ranks import Ranks

    words, world = ["agentspark", *sys.argv[1:]], Ranks.from_environment().world
    if world > 1:
        here = int(os.environ.get("LOCAL_WORLD_SIZE") or world)
        nodes = ["--nnodes", str(world // here)] if here < world else []
        words = ["torchrun", "--no-python", *nodes, "--nproc-per-node", str(here), *words]
    return shlex.join(words)
