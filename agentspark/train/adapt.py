"""Fitting a drafter to an agent's own traffic, without making it worse: the new one must win."""

from __future__ import annotations

import hashlib
import math
import random
import shutil
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from agentspark.dspark.calibration import FILE_NAME as CALIBRATION_FILE
from agentspark.dspark.check import target_fingerprint
from agentspark.dspark.checkpoint import WEIGHTS_FILE
from agentspark.dspark.model import DraftModel
from agentspark.errors import ConfigError, NotBetterError, TrainError
from agentspark.models.modules import target_matrices
from agentspark.models.target import Target, load_target
from agentspark.train.build import check_given, initial_drafter, loaded_drafter
from agentspark.train.card import adapted_card, hardware_text
from agentspark.train.config import OptimConfig, TrainConfig
from agentspark.train.judge import Judgement, check_own_words, measure
from agentspark.train.lock import lock_data, lock_run
from agentspark.train.logplot import plot_log
from agentspark.train.mixing import replay_held_out, split_mixed
from agentspark.train.pipeline import (
    WORK_FOLDER,
    answer_prompts,
    open_source,
    read_given_answers,
)
from agentspark.train.progress import Stage
from agentspark.train.ranks import Ranks
from agentspark.train.release import release_drafter
from agentspark.train.responses import Response, read_replay
from agentspark.train.traces import TraceSteps, read_trace_steps
from agentspark.train.trainer import DRAFTER_FOLDER, Trainer

# Replayed sequences to choose from, per traced one and at least; more are not worth their features.
_REPLAY_TIMES = 4
_REPLAY_LEAST = 64
_REPLAY_MEASURED = 24
_FEWEST_STEPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptConfig:
    """What an adaptation learns from beside what ``TrainConfig`` says.

    ``traces`` are files or folders of traces with token ids. ``replay`` are response files of
    earlier trainings; ``TrainConfig.prompts`` are answered by the target and replayed as well.
    ``replay_share`` of the training sequences are replayed ones, where there are any. ``epochs``
    sets the steps by the amount of data; ``None`` leaves them to ``OptimConfig``.
    """

    traces: tuple[Path, ...]
    replay: tuple[Path, ...] = ()
    replay_share: float = 0.3
    epochs: float | None = 10.0

    def __post_init__(self) -> None:
        """Reject values that cannot be (``ConfigError``)."""
        if not self.traces:
            raise ConfigError("there are no traces to adapt to: give files or folders.")
        if not 0.0 <= self.replay_share < 1.0:
            raise ConfigError(
                f"replay_share={self.replay_share} cannot be used: give a number from 0 to below 1."
            )
        if self.epochs is not None and not self.epochs > 0:
            raise ConfigError(f"epochs={self.epochs} cannot be used: give a number above 0.")


@dataclass(frozen=True, slots=True)
class AdaptOutcome:
    """A drafter that won: its folder, the judgement, and what was said on the way.

    ``steps`` and ``replayed`` count the sequences there were features of.
    """

    drafter: Path
    judgement: Judgement
    steps: int
    replayed: int
    warnings: tuple[str, ...]


def adapt_drafter(
    config: TrainConfig,
    adapt: AdaptConfig,
    stage: Stage,
    *,
    command: str | None = None,
    tell: Callable[[str], None] | None = None,
) -> AdaptOutcome:
    """Train ``config.init`` on traced steps and replay; write it to ``config.out`` if it wins.

    ``config.out`` may be the folder of ``config.init``. What is computed on the way lies in
    ``config.out/work``, so that a killed run goes on; ``tell`` as in ``train_drafter``. Raises
    ``NotBetterError`` where the adapted drafter does not beat the initial one on held-out steps,
    with ``config.out`` as it was; ``DrafterMismatchError``, ``DataError`` and ``TraceError`` before
    anything is computed, and ``TrainError`` where another run is at work in ``config.out``.
    """
    given = _read_given(config, adapt)
    told: list[str] = []
    with lock_run(config.out / WORK_FOLDER):
        outcome = _adapt(config, adapt, given, stage, command, tell or told.append)
    return replace(outcome, warnings=(*told, *outcome.warnings))


@dataclass(frozen=True, slots=True)
class _Given:
    """What an adaptation is given, read and checked before anything is computed."""

    ranks: Ranks
    target: Target
    init: Path
    model: DraftModel
    steps: TraceSteps
    replay: list[Response]
    notes: tuple[str, ...]


def _read_given(config: TrainConfig, adapt: AdaptConfig) -> _Given:
    ranks = Ranks.from_environment(config.device)
    if ranks.world > 1:
        raise ConfigError("an adaptation runs in one process: start it without torchrun.")
    if config.optim.prompt_anchors:
        # A step's prompt holds what was said in earlier steps, held-out ones among them.
        raise ConfigError(
            f"prompt_anchors={config.optim.prompt_anchors} cannot be used with traces, whose "
            "prompts contain the outputs that are measured on: leave it out."
        )
    dtype = ranks.dtype(config.optim.dtype)
    target = load_target(config.target, dtype=dtype, device=ranks.device)
    init = initial_drafter(config.init, target)
    model = loaded_drafter(target, init, dtype)
    check_given(model.config, config.shape, init)
    steps = read_trace_steps(adapt.traces, target.name, target.spec.vocab_size)
    name = target_fingerprint(*target_matrices(target.model))
    files = [read_replay(path, target.spec.vocab_size, name) for path in adapt.replay]
    replay = [response for found, _ in files for response in found]
    notes = (*steps.notes, *(note for _, note in files if note is not None))
    return _Given(ranks, target, init, model, steps, replay, notes)


def _adapt(
    config: TrainConfig, adapt: AdaptConfig, given: _Given, stage: Stage, command: str | None,
    tell: Callable[[str], None],
) -> AdaptOutcome:  # fmt: skip
    target, init, model, steps = given.target, given.init, given.model, given.steps
    replayed, warnings = _replay(config, adapt, given, stage)
    everything = [*steps.responses, *replayed]
    work = _work_folder(config, adapt, given, everything)
    source = open_source(config, target, model, everything, work, stage)
    known = {source.entry(index).id for index in range(len(source))}
    traced = _all_known(known, steps)
    lost = len(everything) - len(known)
    if lost:
        warnings = (
            *warnings,
            f"{lost} responses are not replayed: their features do not fit into max_disk. Raise "
            "it, or train online.",
        )
    split = partial(
        split_mixed, held_out=steps.held_out, traced=traced, share=adapt.replay_share,
        most=config.data.held_out_most,
    )  # fmt: skip
    parts = split(source)
    check_own_words(source, traced)
    aside = replay_held_out(source, traced, _REPLAY_MEASURED)
    initial = measure(model, source, parts.held_out)
    before = measure(model, source, aside) if aside else None
    if (work / DRAFTER_FOLDER / WEIGHTS_FILE).exists():
        model = loaded_drafter(target, work / DRAFTER_FOLDER, target.spec.dtype)
    optim = _optim(config, adapt, len(parts.train))
    trainer = Trainer(model, source, work, optim, config.data, split, tell=tell)
    with stage("training") as advance:
        adapted = trainer.run(lambda share, numbers: advance(share, 1.0, numbers))
    plot_log(trainer.log.path)
    after = trainer.measure_on(aside) if aside else None
    held = len(parts.held_out)
    judgement = Judgement(initial, adapted, steps.mostly_greedy, held, before, after)
    if not judgement.better:
        raise NotBetterError(
            "The adapted drafter is not better by more than chance moves the figure: "
            f"{judgement.describe()}. Nothing was replaced; it "
            f"lies in {trainer.drafter}. Record more of the agent's work, or lower the rate."
        )
    warnings = (
        *given.notes,
        *warnings,
        *_replace(config, init, judgement, trainer, command, stage),
    )
    return AdaptOutcome(config.out, judgement, len(traced), len(replayed) - lost, warnings)


def _all_known(known: AbstractSet[str], steps: TraceSteps) -> frozenset[str]:
    """The ids of the traced steps, all of which must be known (``TrainError``)."""
    traced = frozenset(response.id for response in steps.responses)
    missing = traced - known
    if missing:
        raise TrainError(
            f"the features of {len(missing)} traced steps do not fit into max_disk: raise it, or "
            "train online."
        )
    return traced


def _replay(
    config: TrainConfig, adapt: AdaptConfig, given: _Given, stage: Stage
) -> tuple[list[Response], tuple[str, ...]]:
    """Responses to replay, and what the user should know."""
    found, notes = list(given.replay), tuple[str, ...]()
    if config.prompts:
        work = config.out / WORK_FOLDER
        with lock_data(work, stage):
            notes = answer_prompts(config, given.ranks, work, stage)
            found += read_given_answers(config, given.target, work)
    steps = given.steps
    taken = {response.id for response in steps.responses}
    measured = {tuple(r.prompt_token_ids) for r in steps.responses if r.id in steps.held_out}
    fresh = [r for r in found if tuple(r.prompt_token_ids) not in measured]
    if len(fresh) < len(found):
        notes = (
            *notes,
            f"{len(found) - len(fresh)} responses are not replayed: they answer the prompts of "
            "steps that are measured on.",
        )
    pool = {r.id: r for r in fresh if len(r.token_ids) > 1 and r.id not in taken}
    most = max(_REPLAY_LEAST, _REPLAY_TIMES * len(steps.responses))
    chosen = sorted(pool)
    random.Random(config.optim.seed).shuffle(chosen)
    if not pool:
        notes = (
            *notes,
            "Nothing was replayed: the drafter may get worse at what these traces do not show. "
            "Give responses of its own training with --replay, or prompts with --prompts.",
        )
    return [pool[name] for name in chosen[:most]] if adapt.replay_share else [], notes


def _work_folder(
    config: TrainConfig, adapt: AdaptConfig, given: _Given, responses: Sequence[Response]
) -> Path:
    """The folder of exactly this adaptation; those of others are taken away."""
    digest = hashlib.sha256((given.init / WEIGHTS_FILE).read_bytes())
    settings = (
        config.optim.lr, config.optim.seed, adapt.replay_share, config.data.online,
        given.target.spec.dtype,
    )  # fmt: skip
    digest.update(repr(settings).encode())
    for response in responses:
        digest.update(response.to_line().encode())
    folder = config.out / WORK_FOLDER / f"adapt-{digest.hexdigest()[:12]}"
    for other in folder.parent.glob("adapt-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _optim(config: TrainConfig, adapt: AdaptConfig, sequences: int) -> OptimConfig:
    """The optimiser's settings, with as many steps as the epochs need."""
    if adapt.epochs is None:
        return config.optim
    steps = math.ceil(adapt.epochs * sequences / config.optim.sequences_per_step)
    return replace(config.optim, steps=max(steps, _FEWEST_STEPS))


def _replace(
    config: TrainConfig, init: Path, judgement: Judgement, trainer: Trainer, command: str | None,
    stage: Stage,
) -> tuple[str, ...]:  # fmt: skip
    """Write the drafter that won and what is known of it; return what the user should do."""
    calibrated = (init / CALIBRATION_FILE).exists()
    figures, steps = judgement.describe(), trainer.cursor.step
    place = hardware_text(torch.get_num_threads(), str(trainer.columns.device))
    card = adapted_card(
        init, figures, steps, trainer.elapsed_s, command, place, notes=trainer.changes
    )
    # What was measured is what the trainer wrote: with an average of the weights, that.
    calibrated |= release_drafter(trainer.drafter, config.out, card, stage)
    if not calibrated:
        return ()
    return (
        "Its confidence is no longer calibrated: run agentspark calibrate with prompts of the "
        "agent's kind.",
    )
