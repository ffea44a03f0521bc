"""``agentspark train``: a drafter for a target, from a file of prompts."""

from __future__ import annotations

import math
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentspark.cli.adapt import adapt, check_sources
from agentspark.cli.console import err, out, say
from agentspark.cli.options import DtypeOption, Model, Precision, dtype_name, parse_numbers
from agentspark.dspark.kinds import Backbone, Family, HeadType
from agentspark.errors import ConfigError

if TYPE_CHECKING:
    from agentspark.train.config import TrainConfig
    from agentspark.train.pipeline import TrainOutcome

_STEPS = 20_000
_LR = 2e-3
# A trained drafter is moved gently.
_ADAPT_LR = 5e-4


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
    float | None,
    typer.Option(help="With --from-traces: share of replayed sequences, --prompts' too (0.3)."),
]
Folder = Annotated[
    Path, typer.Option("--out", help="The drafter's folder; an unfinished run goes on.")
]
Init = Annotated[
    Path | None, typer.Option(help="Start from this drafter; 'auto' is the one that ships.")
]
DataFrom = Annotated[
    Path | None,
    typer.Option(help="Another run's folder: use its responses and features (same prompts)."),
]
FamilyName = Annotated[
    Family | None, typer.Option(help="Kind of drafter (dspark); all train on the same data.")
]
BackboneStyle = Annotated[
    Backbone | None, typer.Option(help="Style of the draft layers (the target's own).")
]
Layers = Annotated[int | None, typer.Option(help="Draft layers (2; eagle3 and mtp have 1).")]
BlockSize = Annotated[
    int | None, typer.Option(help="Drafts per round (7; mtp has 1); --init may have others.")
]
AnchorDrafts = Annotated[
    bool | None,
    typer.Option(
        "--anchor-drafts/--anchor-leads",
        help="dflash: a block's first slot drafts too, as dspark's, or only leads (usual).",
        show_default=False,
    ),
]
HeadKind = Annotated[HeadType | None, typer.Option(help="dspark: sequential head (vanilla).")]
MarkovRank = Annotated[int | None, typer.Option(help="dspark: rank of the head (64).")]
DraftVocab = Annotated[
    int | None, typer.Option(help="Tokens it can draft (8192; 0: all); --init may have fewer.")
]
MaxResponses = Annotated[int | None, typer.Option(help="Train on so many responses.")]
Samples = Annotated[
    int, typer.Option(help="Responses to each prompt, which is read once: cheaper than prompts.")
]
Temperatures = Annotated[
    str, typer.Option(help="Of the responses in turn, separated by commas; 0 once for a prompt.")
]
MaxTokens = Annotated[int, typer.Option(help="Most tokens per response.")]
MaxPrompt = Annotated[int, typer.Option(help="Leave longer prompts out (tokens).")]
Concurrency = Annotated[int, typer.Option(min=1, help="Prompts answered at once.")]
Steps = Annotated[int | None, typer.Option(help="Most training steps.")]
Minutes = Annotated[float | None, typer.Option(help="Most minutes of training.")]
Batch = Annotated[int, typer.Option(help="Responses per training step; a GPU is filled by 64.")]
Anchors = Annotated[int, typer.Option(help="Places in each response to learn from at a step.")]
PromptAnchors = Annotated[
    int, typer.Option(min=0, help="Places in each prompt to learn from, beside its response's.")
]
Ema = Annotated[
    float | None, typer.Option(help="Measure and write an average of the weights of this decay.")
]
LearningRate = Annotated[
    float | None, typer.Option(help="Peak learning rate (0.002; 0.0005 for traces).")
]
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
    replay_share: ReplayShare = None,
    target: Model = "smollm2",
    init: Init = None,
    data_from: DataFrom = None,
    family: FamilyName = None,
    backbone: BackboneStyle = None,
    layers: Layers = None,
    block_size: BlockSize = None,
    anchor_drafts: AnchorDrafts = None,
    head: HeadKind = None,
    markov_rank: MarkovRank = None,
    draft_vocab: DraftVocab = None,
    max_responses: MaxResponses = None,
    samples: Samples = 1,
    temperatures: Temperatures = "0,0.8",
    max_tokens: MaxTokens = 256,
    max_prompt_tokens: MaxPrompt = 1024,
    concurrency: Concurrency = 96,
    steps: Steps = None,
    minutes: Minutes = None,
    lr: LearningRate = None,
    batch: Batch = 4,
    anchors: Anchors = 32,
    prompt_anchors: PromptAnchors = 0,
    ema: Ema = None,
    max_disk: MaxDisk = 20.0,
    online: Online = False,
    dtype: DtypeOption = Precision.AUTO,
    seed: Seed = 0,
    data_licence: Licence = None,
) -> None:
    """Let the target answer prompts, train a drafter on the answers, write it with its card.

    With --from-traces, fit the drafter --init to an agent's recorded work instead, and write it
    only if it beats --init on steps held out. Killed or interrupted, the same command goes on.
    """
    from agentspark.train.config import DataConfig, DrafterShape, OptimConfig, TrainConfig

    check_sources(
        prompts, from_traces, init, replay, replay_share, data_from, data_licence, prompt_anchors
    )
    shape = DrafterShape.of(
        family, backbone=backbone, layers=layers, block_size=block_size, markov_rank=markov_rank,
        sample_from_anchor=anchor_drafts, markov_head_type=head, draft_vocab_size=draft_vocab,
    )  # fmt: skip
    data = DataConfig(
        max_responses=max_responses, samples=samples, temperatures=parse_numbers(temperatures),
        max_tokens=max_tokens, max_prompt_tokens=max_prompt_tokens, concurrency=concurrency,
        max_disk_bytes=_bytes(max_disk), online=online,
    )  # fmt: skip
    optim = OptimConfig(
        steps=_STEPS if steps is None else steps, minutes=minutes, sequences_per_step=batch,
        anchors_per_sequence=anchors, prompt_anchors=prompt_anchors, seed=seed, ema=ema,
        lr=_rate(lr, bool(from_traces)), dtype=dtype_name(dtype),
    )  # fmt: skip
    config = TrainConfig(
        target=target, prompts=tuple(prompts or ()), out=folder, data_from=data_from, init=init,
        shape=shape, optim=optim, data=data,
    )  # fmt: skip
    if not from_traces:
        return _train(config, data_licence)
    adapt(config, from_traces, replay or [], replay_share, not (steps or minutes), _command())


def _rate(asked: float | None, adapts: bool) -> float:
    usual = _ADAPT_LR if adapts else _LR
    return usual if asked is None else asked


def _bytes(gib: float) -> int:
    if not 0 < gib < math.inf:
        raise ConfigError(f"--max-disk {gib:g} cannot be used: give a number above 0.")
    return int(gib * (1 << 30))


def _train(config: TrainConfig, data_licence: str | None) -> None:
    from agentspark.train.pipeline import train_drafter
    from agentspark.train.progress import rich_stages
    from agentspark.train.ranks import Ranks

    stages = rich_stages(err())
    outcome = train_drafter(config, stages, command=_command(), data_licence=data_licence)
    if not Ranks.from_environment().first:
        return
    for warning in outcome.warnings:
        say(warning)
    say(f"{outcome.responses} responses; {_measured(outcome)}")
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
