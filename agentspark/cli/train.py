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

_STEPS = 20_000
_LR = 2e-3
# A trained drafter is moved gently.
_ADAPT_LR = 5e-4


class Head(StrEnum):
    """The sequential head."""

    VANILLA = "vanilla"
    GATED = "gated"
    RNN = "rnn"


Prompts = Annotated[
    list[Path] | None, typer.Option(help="Prompt file, JSON Lines, may be gzipped; repeatable.")
]
FromTraces = Annotated[
    list[Path] | None,
    typer.Option(help="Adapt --init to traces with token ids (files or folders); repeatable."),
]
Replay = Annotated[
    list[Path] | None,
    typer.Option(help="With --from-traces: responses.jsonl of an earlier training, to replay."),
]
ReplayShare = Annotated[
    float, typer.Option(help="With --from-traces: share of replayed sequences (--prompts' too).")
]
Folder = Annotated[
    Path, typer.Option("--out", help="The drafter's folder; an unfinished run goes on.")
]
Init = Annotated[
    Path | None, typer.Option(help="Start from this drafter; 'auto' is the one that ships.")
]
Layers = Annotated[int, typer.Option(help="Draft layers.")]
BlockSize = Annotated[int, typer.Option(help="Drafts per round.")]
HeadType = Annotated[Head, typer.Option(help="Sequential head.")]
MarkovRank = Annotated[int, typer.Option(help="Rank of the sequential head.")]
DraftVocab = Annotated[int, typer.Option(help="Tokens it can draft; 0 is all.")]
MaxResponses = Annotated[int | None, typer.Option(help="Use so many prompts.")]
MaxTokens = Annotated[int, typer.Option(help="Most tokens per response.")]
Steps = Annotated[int | None, typer.Option(help="Most training steps.")]
Minutes = Annotated[float | None, typer.Option(help="Most minutes of training.")]
LearningRate = Annotated[float | None, typer.Option(help="Peak learning rate.")]
MaxDisk = Annotated[float, typer.Option(help="Most GiB of stored features.")]
Online = Annotated[
    bool, typer.Option("--online", help="Store no features; run the target at every step.")
]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Licence = Annotated[str | None, typer.Option(help="Licence of the prompts, for the model card.")]


def train(
    folder: Folder,
    prompts: Prompts = None,
    from_traces: FromTraces = None,
    replay: Replay = None,
    replay_share: ReplayShare = 0.3,
    model: Model = "smollm2",
    init: Init = None,
    layers: Layers = 2,
    block_size: BlockSize = 7,
    head: HeadType = Head.VANILLA,
    markov_rank: MarkovRank = 64,
    draft_vocab: DraftVocab = 8192,
    max_responses: MaxResponses = None,
    max_tokens: MaxTokens = 256,
    steps: Steps = None,
    minutes: Minutes = None,
    lr: LearningRate = None,
    max_disk: MaxDisk = 20.0,
    online: Online = False,
    seed: Seed = 0,
    data_licence: Licence = None,
) -> None:
    """Let the target answer prompts, train a drafter on the answers, write it with its card.

    With --from-traces, fit the drafter --init to an agent's recorded work instead, and write it
    only if it beats --init on steps held out. Killed or interrupted, the same command goes on.
    """
    from agentspark.cli.adapt import adapt, check_sources
    from agentspark.train.command import train_drafter
    from agentspark.train.config import DataConfig, DrafterShape, OptimConfig, TrainConfig
    from agentspark.train.progress import rich_stages
    from agentspark.train.ranks import Ranks

    check_sources(prompts, from_traces, init, replay)
    shape = DrafterShape(
        layers=layers,
        block_size=block_size,
        markov_rank=markov_rank,
        markov_head_type=head.value,
        draft_vocab_size=draft_vocab or None,
    )
    data = DataConfig(
        max_responses=max_responses,
        max_tokens=max_tokens,
        max_disk_bytes=int(max_disk * (1 << 30)),
        online=online,
    )
    config = TrainConfig(
        target=model,
        prompts=tuple(prompts or ()),
        out=folder,
        init=init,
        shape=shape,
        optim=OptimConfig(
            steps=_STEPS if steps is None else steps,
            minutes=minutes,
            lr=lr if lr is not None else _ADAPT_LR if from_traces else _LR,
            seed=seed,
        ),
        data=data,
    )
    command = shlex.join(["agentspark", *sys.argv[1:]])
    if from_traces:
        whole = steps is None and minutes is None
        adapt(config, tuple(from_traces), tuple(replay or ()), replay_share, whole, command)
        return
    outcome = train_drafter(config, rich_stages(err()), command=command, data_licence=data_licence)
    if not Ranks.from_environment().first:
        return
    for warning in outcome.warnings:
        say(warning)
    say(
        f"{outcome.responses} responses; accepted length on held-out ones "
        f"{outcome.tau.greedy:.2f} greedy, {outcome.tau.sampled:.2f} at temperature 1"
    )
    out().print(str(outcome.drafter), markup=False, soft_wrap=True)
