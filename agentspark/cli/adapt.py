"""``agentspark train --from-traces``: a drafter fitted to an agent's own recorded work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from agentspark.cli.console import err, out, say

if TYPE_CHECKING:
    from agentspark.train.config import TrainConfig


def check_sources(
    prompts: Sequence[Path] | None,
    from_traces: Sequence[Path] | None,
    init: Path | None,
    replay: Sequence[Path] | None,
    replay_share: float | None,
    data_from: Path | None,
    data_licence: str | None,
    prompt_anchors: int,
) -> None:
    """Refuse options of ``train`` that do not go together, as a usage error."""
    if not prompts and not from_traces:
        raise typer.BadParameter("give --prompts, --from-traces or both")
    if from_traces and init is None:
        raise typer.BadParameter("--from-traces adapts a drafter: give it with --init, or 'auto'")
    adapting = {"--replay": replay or None, "--replay-share": replay_share}
    training = {
        "--data-from": data_from, "--data-licence": data_licence,
        # A step's prompt holds the outputs of earlier ones, some of which are measured on.
        "--prompt-anchors": prompt_anchors or None,
    }  # fmt: skip
    for name, value in (training if from_traces else adapting).items():
        if value is not None:
            word = "does not go" if from_traces else "goes"
            raise typer.BadParameter(f"{name} {word} with --from-traces")


def adapt(
    config: TrainConfig,
    traces: Sequence[Path],
    replay: Sequence[Path],
    replay_share: float | None,
    by_epochs: bool,
    command: str,
) -> None:
    """Adapt and say what it gained; ``by_epochs`` leaves the steps to the amount of data."""
    from agentspark.train.adapt import AdaptConfig, adapt_drafter
    from agentspark.train.progress import rich_stages

    settings = AdaptConfig(traces=tuple(traces), replay=tuple(replay))
    if replay_share is not None:
        settings = replace(settings, replay_share=replay_share)
    if not by_epochs:
        settings = replace(settings, epochs=None)
    outcome = adapt_drafter(config, settings, rich_stages(err()), command=command)
    for warning in outcome.warnings:
        say(warning)
    say(f"{outcome.steps} steps and {outcome.replayed} replayed responses")
    say(outcome.judgement.describe())
    out().print(str(outcome.drafter), markup=False, soft_wrap=True)
