"""The options of ``agentspark train``, and the settings they stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentspark.cli.options import Device, DtypeOption, Model, Precision, dtype_name, parse_numbers
from agentspark.dspark.kinds import Backbone, Family, HeadType
from agentspark.errors import ConfigError

if TYPE_CHECKING:
    from agentspark.train.config import TrainConfig

_STEPS = 20_000
_LR = 2e-3
# A trained drafter is moved gently.
_ADAPT_LR = 5e-4
# What says how the target answers prompts.
_ANSWERS = (
    "max_responses", "samples", "temperatures", "max_tokens", "max_prompt_tokens", "concurrency",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """Everything that can be given; ``None`` is what was not."""

    folder: Annotated[
        Path, typer.Option("--out", help="The drafter's folder; an unfinished run goes on.")
    ]
    prompts: Annotated[
        list[Path] | None, typer.Option(help="Prompt file, JSON Lines, may be gzipped; repeatable.")
    ] = None
    from_traces: Annotated[
        list[Path] | None,
        typer.Option(help="Adapt --init to traces with token ids (files or folders); repeatable."),
    ] = None
    replay: Annotated[
        list[Path] | None,
        typer.Option(help="With --from-traces: responses.jsonl of an earlier training, to replay."),
    ] = None
    replay_share: Annotated[
        float | None,
        typer.Option(help="With --from-traces: share of replayed sequences, --prompts' too (0.3)."),
    ] = None
    target: Model = "smollm2"
    init: Annotated[
        Path | None, typer.Option(help="Start from this drafter; 'auto' is the one that ships.")
    ] = None
    data_from: Annotated[
        Path | None,
        typer.Option(help="Another run's folder: use its responses and features (same prompts)."),
    ] = None
    family: Annotated[
        Family | None, typer.Option(help="Kind of drafter (dspark); all train on the same data.")
    ] = None
    backbone: Annotated[
        Backbone | None, typer.Option(help="Style of the draft layers (the target's own).")
    ] = None
    layers: Annotated[int | None, typer.Option(help="Draft layers (2; eagle3 and mtp have 1).")] = (
        None
    )
    block_size: Annotated[
        int | None, typer.Option(help="Drafts per round (7; mtp has 1); --init may have others.")
    ] = None
    anchor_drafts: Annotated[
        bool | None,
        typer.Option(
            "--anchor-drafts/--anchor-leads",
            help="dflash: a block's first slot drafts too, as dspark's, or only leads (usual).",
            show_default=False,
        ),
    ] = None
    head: Annotated[HeadType | None, typer.Option(help="dspark: sequential head (vanilla).")] = None
    markov_rank: Annotated[int | None, typer.Option(help="dspark: rank of the head (64).")] = None
    draft_vocab: Annotated[
        int | None, typer.Option(help="Tokens it can draft (8192; 0: all); --init may have fewer.")
    ] = None
    max_responses: Annotated[int | None, typer.Option(help="Train on so many responses.")] = None
    samples: Annotated[
        int,
        typer.Option(help="Responses to each prompt, which is read once: cheaper than prompts."),
    ] = 1
    temperatures: Annotated[
        str,
        typer.Option(help="Of the responses in turn, separated by commas; 0 once for a prompt."),
    ] = "0,0.8"
    max_tokens: Annotated[int, typer.Option(help="Most tokens per response.")] = 256
    max_prompt_tokens: Annotated[int, typer.Option(help="Leave longer prompts out (tokens).")] = (
        1024
    )
    concurrency: Annotated[int, typer.Option(min=1, help="Prompts answered at once.")] = 96
    steps: Annotated[int | None, typer.Option(help="Most training steps.")] = None
    minutes: Annotated[float | None, typer.Option(help="Most minutes of training.")] = None
    lr: Annotated[
        float | None, typer.Option(help="Peak learning rate (0.002; 0.0005 for traces).")
    ] = None
    batch: Annotated[
        int, typer.Option(help="Responses per training step; a GPU is filled by 64.")
    ] = 4
    anchors: Annotated[
        int, typer.Option(help="Places in each response to learn from at a step.")
    ] = 32
    prompt_anchors: Annotated[
        int, typer.Option(min=0, help="Places in each prompt to learn from, beside its response's.")
    ] = 0
    ema: Annotated[
        float | None,
        typer.Option(help="Measure and write an average of the weights of this decay."),
    ] = None
    max_disk: Annotated[float, typer.Option(help="Most GiB of stored features.")] = 20.0
    online: Annotated[
        bool, typer.Option("--online", help="Store no features; run the target at every step.")
    ] = False
    dtype: DtypeOption = Precision.AUTO
    device: Device = None
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0
    data_licence: Annotated[
        str | None, typer.Option(help="Licence of the prompts, for the model card.")
    ] = None

    def check(self) -> None:
        """Refuse options that do not go together, as a usage error."""
        if not self.prompts and not self.from_traces:
            raise typer.BadParameter("give --prompts, --from-traces or both")
        if self.from_traces and self.init is None:
            raise typer.BadParameter(
                "--from-traces adapts a drafter: give it with --init, or 'auto'"
            )
        adapting = {"--replay": self.replay or None, "--replay-share": self.replay_share}
        training = {
            "--data-from": self.data_from, "--data-licence": self.data_licence,
            # A step's prompt holds the outputs of earlier ones, some of which are measured on.
            "--prompt-anchors": self.prompt_anchors or None,
        }  # fmt: skip
        for field in fields(self):
            if not self.prompts and field.name in _ANSWERS:
                name = f"--{field.name.replace('_', '-')}"
                if getattr(self, field.name) != field.default:
                    raise typer.BadParameter(f"{name} needs --prompts: traces are answered already")
        for name, value in (training if self.from_traces else adapting).items():
            if value is not None:
                word = "does not go" if self.from_traces else "goes"
                raise typer.BadParameter(f"{name} {word} with --from-traces")

    def config(self) -> TrainConfig:
        """The settings; ``ConfigError`` where one of them cannot be."""
        from agentspark.train.config import DataConfig, DrafterShape, OptimConfig, TrainConfig

        shape = DrafterShape.of(
            self.family, backbone=self.backbone, layers=self.layers, block_size=self.block_size,
            sample_from_anchor=self.anchor_drafts, markov_rank=self.markov_rank,
            markov_head_type=self.head, draft_vocab_size=self.draft_vocab,
        )  # fmt: skip
        data = DataConfig(
            max_responses=self.max_responses, samples=self.samples,
            temperatures=parse_numbers(self.temperatures), max_tokens=self.max_tokens,
            max_prompt_tokens=self.max_prompt_tokens, concurrency=self.concurrency,
            max_disk_bytes=_bytes(self.max_disk), online=self.online,
        )  # fmt: skip
        usual = _ADAPT_LR if self.from_traces else _LR
        optim = OptimConfig(
            steps=_STEPS if self.steps is None else self.steps, minutes=self.minutes,
            sequences_per_step=self.batch, anchors_per_sequence=self.anchors,
            prompt_anchors=self.prompt_anchors, seed=self.seed, ema=self.ema,
            lr=usual if self.lr is None else self.lr, dtype=dtype_name(self.dtype),
        )  # fmt: skip
        return TrainConfig(
            target=self.target, prompts=tuple(self.prompts or ()), out=self.folder,
            data_from=self.data_from, init=self.init, device=self.device, shape=shape, optim=optim,
            data=data,
        )  # fmt: skip


def _bytes(gib: float) -> int:
    if not 0 < gib < math.inf:
        raise ConfigError(f"--max-disk {gib:g} cannot be used: give a number above 0.")
    return int(gib * (1 << 30))
