"""Settings of a training run, and their defaults."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentspark.config import Dtype
from agentspark.dspark.kinds import KINDS, Backbone, Family, HeadType
from agentspark.errors import ConfigError
from agentspark.sampling.params import SamplingParams
from agentspark.train.loss import LossWeights


def _positive(owner: object, *names: str) -> None:
    for name in names:
        value: Any = getattr(owner, name)
        if value is not None and not value > 0:
            raise ConfigError(f"{name}={value} cannot be used: give a number above 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DrafterShape:
    """What drafter to build; sizes not named here are the target's.

    ``backbone`` ``None`` takes layers in the target's own style: Gemma 4's for a Gemma 4, else
    Qwen3's.
    ``target_layer_ids`` ``None`` spreads four over the target's depth. ``draft_vocab_size``
    ``None`` keeps the whole vocabulary. ``mask_token_id`` ``None`` takes a special token of the
    tokenizer that texts do not use. Families other than ``dspark`` have no sequential head
    (``markov_rank`` 0); ``of`` fills in what a family usually has, and notes in ``given`` what it
    did not: a drafter to start from must have that, named as in its config, or be able to grow to
    it (``grow.py``).
    """

    family: Family = "dspark"
    backbone: Backbone | None = None
    layers: int = 2
    target_layer_ids: tuple[int, ...] | None = None
    block_size: int = 7
    sample_from_anchor: bool = True
    markov_rank: int = 64
    markov_head_type: HeadType = "vanilla"
    draft_vocab_size: int | None = 8192
    mask_token_id: int | None = None
    given: Mapping[str, object] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        """Reject sizes that cannot be (``ConfigError``)."""
        _positive(self, "layers", "block_size", "draft_vocab_size")
        kind = KINDS[self.family]
        if kind.heads != (self.markov_rank > 0):
            raise ConfigError(
                f"markov_rank={self.markov_rank} cannot be used with family {self.family}: "
                "dspark has a sequential head, the others have none (0)."
            )
        if self.backbone == "gemma4" and not kind.heads:
            raise ConfigError(f"backbone='gemma4' cannot be used: {self.family} has qwen3's only.")
        if kind.chain and self.layers != 1:
            raise ConfigError(f"layers={self.layers} cannot be used: {self.family} has 1 layer.")
        if kind.most_drafts is not None and self.block_size > kind.most_drafts:
            raise ConfigError(
                f"block_size={self.block_size} cannot be used: {self.family} drafts "
                f"{kind.most_drafts} token."
            )
        if not kind.anchor_apart and not self.sample_from_anchor:
            raise ConfigError("sample_from_anchor=False cannot be used: it is dflash's layout.")

    @classmethod
    def of(
        cls,
        family: Family | None,
        *,
        backbone: Backbone | None = None,
        layers: int | None = None,
        block_size: int | None = None,
        sample_from_anchor: bool | None = None,
        markov_rank: int | None = None,
        markov_head_type: HeadType | None = None,
        draft_vocab_size: int | None = None,
    ) -> DrafterShape:
        """The shape of a family; ``None`` takes the usual, 0 the whole vocabulary.

        Raises ``ConfigError`` for what it cannot have.
        """
        name: Family = family or "dspark"
        kind = KINDS[name]
        if markov_head_type is not None and not kind.heads:
            raise ConfigError(f"{name} has no sequential head: leave its type out.")
        asked: dict[str, object] = {
            "family": family, "backbone": backbone,
            "num_hidden_layers": layers, "block_size": block_size,
            "sample_from_anchor": sample_from_anchor, "markov_rank": markov_rank,
            "markov_head_type": markov_head_type, "draft_vocab_size": draft_vocab_size,
        }  # fmt: skip
        return cls(
            family=name,
            backbone=backbone,
            layers=(1 if kind.chain else 2) if layers is None else layers,
            block_size=(kind.most_drafts or 7) if block_size is None else block_size,
            sample_from_anchor=not kind.anchor_apart
            if sample_from_anchor is None
            else sample_from_anchor,
            markov_rank=(64 if kind.heads else 0) if markov_rank is None else markov_rank,
            markov_head_type=markov_head_type or "vanilla",
            draft_vocab_size=8192 if draft_vocab_size is None else draft_vocab_size or None,
            given={name: value for name, value in asked.items() if value is not None},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """How the weights move and for how long.

    A run ends after ``steps`` steps, or after ``minutes`` of training time where that comes first
    (pauses between a kill and its resumption do not count); the learning rate warms up over the
    first ``warmup`` share and falls along a cosine to ``final_lr`` of its peak at the end.
    Besides ``anchors_per_sequence`` positions of a response, ``prompt_anchors`` of its prompt are
    learned from: the target read it anyway, and it is more to learn from than a small model says.
    With ``ema`` what is measured and written is an average of the weights of that decay.
    ``dtype`` is what the target and the drafter compute in, ``None`` as engines choose it: bfloat16
    where the device computes in it, else float32.
    """

    steps: int = 20_000
    minutes: float | None = None
    sequences_per_step: int = 4
    anchors_per_sequence: int = 32
    prompt_anchors: int = 0
    lr: float = 2e-3
    warmup: float = 0.03
    final_lr: float = 0.02
    weight_decay: float = 0.0
    clip: float = 1.0
    ema: float | None = None
    loss: LossWeights = field(default_factory=LossWeights)
    dtype: Dtype | None = None
    seed: int = 0
    checkpoint_every_s: float = 120.0
    evaluate_every_s: float = 600.0
    log_every: int = 20

    def __post_init__(self) -> None:
        """Reject values that cannot be (``ConfigError``)."""
        _positive(
            self, "steps", "minutes", "sequences_per_step", "anchors_per_sequence", "lr", "clip",
            "checkpoint_every_s", "evaluate_every_s", "log_every",
        )  # fmt: skip
        if not math.isfinite(self.lr):
            raise ConfigError(f"lr={self.lr} cannot be used: give a number above 0.")
        if not 0.0 <= self.weight_decay < math.inf:
            raise ConfigError(
                f"weight_decay={self.weight_decay} cannot be used: give a number from 0."
            )
        if self.prompt_anchors < 0:
            raise ConfigError(
                f"prompt_anchors={self.prompt_anchors} cannot be used: give a number from 0."
            )
        if self.ema is not None and not 0.0 < self.ema < 1.0:
            raise ConfigError(f"ema={self.ema} cannot be used: give a decay between 0 and 1.")
        if not -(1 << 63) <= self.seed < 1 << 63:
            raise ConfigError(f"seed={self.seed} cannot be used: give a number of 64 bits.")
        if not 0.0 <= self.warmup < 1.0 or not 0.0 <= self.final_lr <= 1.0:
            raise ConfigError("warmup must be from 0 to below 1 and final_lr from 0 to 1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Where responses come from and how much of them is kept.

    ``concurrency`` answers are made at once, ``samples`` to each prompt: it is read once for all
    of them, so they are cheaper than as many prompts. ``temperatures`` are mixed in turn over
    them, with 0 once for a prompt. One in ``held_out_every`` prompts, by a hash of its id, is kept
    out of training to measure on. ``max_disk_bytes`` bounds the stored features; ``online`` stores
    none and runs the target at every step.
    """

    max_responses: int | None = None
    samples: int = 1
    max_tokens: int = 256
    max_prompt_tokens: int = 1024
    concurrency: int = 96
    temperatures: tuple[float, ...] = (0.0, 0.8)
    held_out_every: int = 40
    held_out_most: int = 48
    max_disk_bytes: int = 20 << 30
    online: bool = False

    def __post_init__(self) -> None:
        """Reject values that cannot be (``ConfigError``, or of a temperature its own error)."""
        _positive(
            self, "max_responses", "samples", "max_tokens", "max_prompt_tokens", "held_out_every",
            "max_disk_bytes",
        )  # fmt: skip
        if not self.temperatures:
            raise ConfigError("there are no temperatures to answer at: give one or more.")
        for temperature in self.temperatures:
            SamplingParams(temperature=temperature).validate()
        if self.samples > 1 and not any(self.temperatures):
            raise ConfigError(
                f"samples={self.samples} cannot be used with temperature 0 alone, which gives the "
                "same answer every time: give a temperature above 0 too, or 1 sample."
            )

    def sample_temperatures(self, index: int) -> list[float]:
        """Return the temperatures of the answers to prompt ``index``, ``samples`` of them."""
        turn = itertools.cycle(self.temperatures)
        chosen: list[float] = []
        for temperature in itertools.islice(turn, index % len(self.temperatures), None):
            if temperature > 0.0 or 0.0 not in chosen:
                chosen.append(temperature)
            if len(chosen) == self.samples:
                break
        return chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Everything ``agentspark train`` is told.

    ``data_from`` is another run's ``out``, whose responses and features are used (and completed).
    ``device`` is where all is computed (``None``: on a GPU if there is one).
    """

    target: str | Path
    prompts: tuple[Path, ...]
    out: Path
    data_from: Path | None = None
    init: Path | None = None
    device: str | None = None
    shape: DrafterShape = field(default_factory=DrafterShape)
    optim: OptimConfig = field(default_factory=OptimConfig)
    data: DataConfig = field(default_factory=DataConfig)
