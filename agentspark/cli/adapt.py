"""``agentspark train --from-traces``: a drafter fitted to an agent's own recorded work."""

from __future__ import annotations

from dataclasses import replace

from agentspark.cli.console import err, out, say
from agentspark.cli.train_options import TrainOptions


def adapt(options: TrainOptions, command: str) -> None:
    """Adapt as told and say what it gained; the amount of data sets the steps if nothing does."""
    from agentspark.train.adapt import AdaptConfig, adapt_drafter
    from agentspark.train.progress import rich_stages

    settings = AdaptConfig(
        traces=tuple(options.from_traces or ()), replay=tuple(options.replay or ())
    )
    if options.replay_share is not None:
        settings = replace(settings, replay_share=options.replay_share)
    if options.steps or options.minutes:
        settings = replace(settings, epochs=None)
    outcome = adapt_drafter(
        options.config(), settings, rich_stages(err()), command=command, tell=say
    )
    for warning in outcome.warnings:
        say(warning)
    say(f"{outcome.steps} steps and {outcome.replayed} replayed responses")
    say(outcome.judgement.describe())
    out().print(str(outcome.drafter), markup=False, soft_wrap=True)
