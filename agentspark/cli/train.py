"""``agentspark train``: a drafter for a target, from a file of prompts."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agentspark.cli.console import err, out, say
from agentspark.cli.options import Model


class Family(StrEnum):
    """The kind of drafter."""

    DSPARK = "dspark"
    DFLASH = "dflash"
    EAGLE3 = "eagle3"
    MTP = "mtp"


class Head(StrEnum):
    """The sequential head."""

    VANILLA = "vanilla"
    GATED = "gated"
    RNN = "rnn"


Prompts = Annotated[
    list[Path], typer.Option(help="Prompt file, JSON Lines, may be gzipped; repeatable.")
]
Folder = Annotated[
    Path, typer.Option("--out", help="The drafter's folder; an unfinished run goes on.")
]
Init = Annotated[Path | None, typer.Option(help="Start from this drafter.")]
DataFrom = Annotated[
    Path | None,
    typer.Option(help="Another run's folder: use its responses and features (same prompts)."),
]
FamilyName = Annotated[Family, typer.Option(help="Kind of drafter; all train on the same data.")]
Layers = Annotated[int | None, typer.Option(help="Draft layers (2; eagle3 and mtp have 1).")]
BlockSize = Annotated[int | None, typer.Option(help="Drafts per round (7; mtp has 1).")]
AnchorDrafts = Annotated[
    bool | None,
    typer.Option(
        "--anchor-drafts/--anchor-leads",
        help="dflash: a block's first slot drafts too, as dspark's, or only leads (usual).",
        show_default=False,
    ),
]
HeadType = Annotated[Head | None, typer.Option(help="dspark: sequential head (vanilla).")]
MarkovRank = Annotated[int | None, typer.Option(help="dspark: rank of the head (64).")]
DraftVocab = Annotated[int, typer.Option(help="Tokens it can draft; 0 is all.")]
MaxResponses = Annotated[int | None, typer.Option(help="Use so many prompts.")]
MaxTokens = Annotated[int, typer.Option(help="Most tokens per response.")]
MaxPrompt = Annotated[int, typer.Option(help="Leave longer prompts out (tokens).")]
Concurrency = Annotated[int, typer.Option(min=1, help="Prompts answered at once.")]
Steps = Annotated[int, typer.Option(help="Most training steps.")]
Minutes = Annotated[float | None, typer.Option(help="Most minutes of training.")]
LearningRate = Annotated[float, typer.Option(help="Peak learning rate.")]
MaxDisk = Annotated[float, typer.Option(help="Most GiB of stored features.")]
Online = Annotated[
    bool, typer.Option("--online", help="Store no features; run the target at every step.")
]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Licence = Annotated[str | None, typer.Option(help="Licence of the prompts, for the model card.")]


def train(
    prompts: Prompts,
    folder: Folder,
    model: Model = "smollm2",
    init: Init = None,
    data_from: DataFrom = None,
    family: FamilyName = Family.DSPARK,
    layers: Layers = None,
    block_size: BlockSize = None,
    anchor_drafts: AnchorDrafts = None,
    head: HeadType = None,
    markov_rank: MarkovRank = None,
    draft_vocab: DraftVocab = 8192,
    max_responses: MaxResponses = None,
    max_tokens: MaxTokens = 256,
    max_prompt_tokens: MaxPrompt = 1024,
    concurrency: Concurrency = 96,
    steps: Steps = 20_000,
    minutes: Minutes = None,
    lr: LearningRate = 2e-3,
    max_disk: MaxDisk = 20.0,
    online: Online = False,
    seed: Seed = 0,
    data_licence: Licence = None,
) -> None:
    """Let the target answer prompts, train a drafter on the answers, write it with its card.

    Killed or interrupted, the same command goes on where it was.
    """
    from agentspark.train.command import train_drafter
    from agentspark.train.config import DataConfig, DrafterShape, OptimConfig, TrainConfig
    from agentspark.train.progress import rich_stages

    shape = DrafterShape.of(
        family.value,
        layers=layers,
        block_size=block_size,
        sample_from_anchor=anchor_drafts,
        markov_rank=markov_rank,
        markov_head_type=None if head is None else head.value,
        draft_vocab_size=draft_vocab or None,
    )
    data = DataConfig(
        max_responses=max_responses,
        max_tokens=max_tokens,
        max_prompt_tokens=max_prompt_tokens,
        concurrency=concurrency,
        max_disk_bytes=int(max_disk * (1 << 30)),
        online=online,
    )
    config = TrainConfig(
        target=model,
        prompts=tuple(prompts),
        out=folder,
        data_from=data_from,
        init=init,
        shape=shape,
        optim=OptimConfig(steps=steps, minutes=minutes, lr=lr, seed=seed),
        data=data,
    )
    command = shlex.join(["agentspark", *sys.argv[1:]])
    outcome = train_drafter(config, rich_stages(err()), command=command, data_licence=data_licence)
    for warning in outcome.warnings:
        say(warning)
    say(
        f"{outcome.responses} responses; accepted length on held-out ones "
        f"{outcome.tau.greedy:.2f} greedy, {outcome.tau.sampled:.2f} at temperature 1"
    )
    out().print(str(outcome.drafter), markup=False, soft_wrap=True)
