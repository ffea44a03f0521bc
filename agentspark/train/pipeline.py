"""The whole way from prompts to a drafter with its card; each part goes on where it was killed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from agentspark.config import EngineConfig
from agentspark.drafting.loading import AUTO, fingerprint_of
from agentspark.dspark.checkpoint import WEIGHTS_FILE, weights_digest
from agentspark.dspark.model import DraftModel
from agentspark.engine.engine import Engine
from agentspark.errors import ConfigError, DrafterFormatError, TrainError
from agentspark.models.target import Target, load_target
from agentspark.prompts.files import read_prompt_files
from agentspark.prompts.left_out import LeftOut
from agentspark.train.answered import read_answers
from agentspark.train.build import check_init, initial_drafter, loaded_drafter, new_drafter
from agentspark.train.card import TrainingFacts, card_text, hardware_text
from agentspark.train.config import TrainConfig
from agentspark.train.evaluate import OfflineTau
from agentspark.train.extract import extract_features
from agentspark.train.features import TargetReader
from agentspark.train.lock import lock_data, lock_run
from agentspark.train.logplot import plot_log
from agentspark.train.progress import Stage, silent_stage
from agentspark.train.ranks import Ranks
from agentspark.train.regenerate import regenerate
from agentspark.train.release import release_drafter
from agentspark.train.responses import Response
from agentspark.train.source import ExampleSource, OnlineSource
from agentspark.train.state import STATE_FILE
from agentspark.train.store import FeatureStore
from agentspark.train.trainer import DRAFTER_FOLDER, Trainer
from agentspark.train.vocabulary import blend_counts, count_tokens

RESPONSES_FILE = "responses.jsonl"
FEATURES_FOLDER = "features"
WORK_FOLDER = "work"


@dataclass(frozen=True, slots=True)
class TrainOutcome:
    """A finished run: the drafter's folder, what it reached, and what was said on the way.

    ``held_out`` of the ``responses`` were measured on.
    """

    drafter: Path
    tau: OfflineTau
    responses: int
    held_out: int
    warnings: tuple[str, ...]


def train_drafter(
    config: TrainConfig,
    stage: Stage,
    *,
    command: str | None = None,
    data_licence: str | None = None,
    tell: Callable[[str], None] | None = None,
) -> TrainOutcome:
    """Regenerate, extract, train, measure, write the drafter and its card to ``config.out``.

    Everything on the way lies in ``config.out/work``; started again with the same settings it
    goes on from there. ``stage`` shows progress (``agentspark.train.progress`` has displays), and
    ``tell`` is called at the start with what a user should know of a run that goes on; without it
    that stands among the warnings.
    Under ``torchrun`` the training is shared by all processes, and the first one does the rest.
    Raises ``ConfigError`` where ``config.data_from`` is no run's, and ``TrainError`` where another
    run is at work in ``config.out``; where one still completes data that both use, it is waited
    for.
    """
    data = config.data_from
    if data is not None and not (data / WORK_FOLDER).is_dir():
        raise ConfigError(
            f"data_from={data} is no folder of a training (there is no {WORK_FOLDER} in it): give "
            "the out of another run."
        )
    ranks = Ranks.from_environment(config.device)
    with ranks.together():
        if _begun(config) is None:
            check_init(config)
        elif config.init is not None and str(config.init) != AUTO and not _own_init(config):
            weights_digest(config.init)  # that it is there, which is asked of it in the end
        with lock_run(config.out / WORK_FOLDER) if ranks.first else nullcontext():
            shown = stage if ranks.first else silent_stage
            told: list[str] = []
            say = tell if tell is not None and ranks.first else told.append
            outcome = _train(config, shown, ranks, command, data_licence, say)
            return replace(outcome, warnings=(*told, *outcome.warnings))


def _train(
    config: TrainConfig, stage: Stage, ranks: Ranks, command: str | None,
    data_licence: str | None, tell: Callable[[str], None],
) -> TrainOutcome:  # fmt: skip
    work = config.out / WORK_FOLDER
    given = (config.data_from or config.out) / WORK_FOLDER
    with lock_data(given, stage) if ranks.first else nullcontext():
        warnings = answer_prompts(config, ranks, given, stage) if ranks.first else ()
        ranks.wait()
        dtype = ranks.dtype(config.optim.dtype)
        target = load_target(config.target, dtype=dtype, device=ranks.device)
        answers = read_given_answers(config, target, given)
        responses = [r for r in answers if len(r.token_ids) > 1]
        model = _drafter(config, target, responses, dtype)
        source: ExampleSource | None = None
        if ranks.first or config.data.online:
            source = open_source(config, target, model, responses, given, stage)
        ranks.wait()
    if source is None:
        source = FeatureStore(given / FEATURES_FOLDER, only={r.id for r in responses})
    if responses and not len(source):
        raise TrainError(
            "the features of no response fit into max_disk: raise it, or train online."
        )
    if len(responses) < len(answers):
        short = len(answers) - len(responses)
        warnings = (*warnings, f"{short} responses of a single token have nothing to learn from.")
    warnings = (*warnings, *_unused(config, source, len(responses), given / FEATURES_FOLDER))
    trainer = Trainer(
        model, source, work, config.optim, config.data, ranks=ranks, init=_start(config, target),
        tell=tell,
    )  # fmt: skip
    with stage("training") as advance:
        tau = trainer.run(lambda share, numbers: advance(share, 1.0, numbers))
    held_out = len(trainer.split.held_out)
    if not ranks.first:
        return TrainOutcome(config.out, tau, len(responses), held_out, warnings)
    plot_log(trainer.log.path)
    facts = TrainingFacts(
        target=target.name,
        prompt_files=[path.name for path in config.prompts],
        data_licence=data_licence,
        kinds=[r.kind for r in responses],
        response_tokens=sum(len(r.token_ids) for r in responses),
        steps=trainer.cursor.step,
        anchors=trainer.anchors,
        batch=trainer.batch,
        hours=trainer.elapsed_s / 3600.0,
        hardware=hardware_text(torch.get_num_threads(), ranks.device),
        command=command,
        tau=tau,
        held_out=held_out,
        notes=(*warnings, *trainer.changes),
    )
    card = card_text(model.config, config.optim, facts)
    if release_drafter(trainer.drafter, config.out, card, stage):
        # Said here and not on the card, as it ends with the next calibration.
        warnings = (*warnings, "Its confidence is no longer calibrated: run agentspark calibrate.")
    return TrainOutcome(config.out, tau, len(responses), held_out, warnings)


def _unused(
    config: TrainConfig, source: ExampleSource, responses: int, features: Path
) -> list[str]:
    """What of the responses is not learned from, and how it would be."""
    notes: list[str] = []
    if len(source) < responses:
        notes.append(
            f"{responses - len(source)} responses are not used: their features do not fit "
            "into max_disk. Raise it, or train online."
        )
    entries = map(source.entry, range(len(source)))
    bare = sum(entry.predicted <= entry.size - entry.start for entry in entries)
    if config.optim.prompt_anchors and bare:
        notes.append(
            f"the features of {bare} responses were stored without their prompts, which are not "
            f"learned from: delete {features} to have them stored anew."
        )
    return notes


def answer_prompts(config: TrainConfig, ranks: Ranks, work: Path, stage: Stage) -> tuple[str, ...]:
    """Let the target answer what is not answered yet; return what the user should know."""
    files, left_out = read_prompt_files(config.prompts), LeftOut()
    # Files are often sorted by source; a part of them should be a sample of all of them.
    random.Random(config.optim.seed).shuffle(files.prompts)
    path = work / RESPONSES_FILE
    engine_config = EngineConfig(
        exact=False,
        max_requests=config.data.concurrency,
        dtype=config.optim.dtype,
        device=ranks.device,
    )
    with (
        stage("responses") as advance,
        Engine.load(config.target, drafter=None, config=engine_config) as engine,
    ):
        regenerate(
            engine, files.prompts, path, config.data, seed=config.optim.seed, left_out=left_out,
            progress=lambda done, total: advance(done, total, {}),
        )  # fmt: skip
    return (*files.describe(), *left_out.describe())


def read_given_answers(config: TrainConfig, target: Target, work: Path) -> list[Response]:
    """The responses in ``work`` to the given prompts, as many of them as are asked for."""
    prompts = read_prompt_files(config.prompts).prompts
    return list(read_answers(work / RESPONSES_FILE, prompts, config.data, fingerprint_of(target)))


def _begun(config: TrainConfig) -> Path | None:
    """The drafter of the run in ``config.out`` as last saved, if one was begun there."""
    work = config.out / WORK_FOLDER
    saved = (work / STATE_FILE, work / DRAFTER_FOLDER / WEIGHTS_FILE)
    return saved[1].parent if all(path.exists() for path in saved) else None


def _start(config: TrainConfig, target: Target) -> str | None:
    """The digest of the given weights to start from; ``None`` where there are none.

    What lies in the folder of a run that was begun may be what the run itself wrote there.
    """
    if config.init is None:
        return None
    init = initial_drafter(config.init, target)
    own = _own_init(config) and _begun(config) is not None
    return None if own else weights_digest(init)


def _own_init(config: TrainConfig) -> bool:
    return config.init is not None and config.init.resolve() == config.out.resolve()


def _drafter(
    config: TrainConfig, target: Target, responses: Sequence[Response], dtype: torch.dtype
) -> DraftModel:
    """Return the drafter to train: the run's own where it was begun, else ``init``, else new."""
    begun = _begun(config)
    if begun is not None:
        try:
            return loaded_drafter(target, begun, dtype, config.shape)
        except DrafterFormatError as error:
            raise TrainError(
                f"the drafter that this run saved is broken ({error}). Delete {begun}: the run "
                "goes on from its saved state."
            ) from error
    size = target.spec.vocab_size
    counts = blend_counts(
        count_tokens((torch.tensor(r.token_ids) for r in responses), size),
        count_tokens((torch.tensor(r.prompt_token_ids) for r in responses), size),
    )
    if config.init is not None:
        init = initial_drafter(config.init, target)
        return loaded_drafter(target, init, dtype, config.shape, counts)
    anchors = config.optim.anchors_per_sequence
    return new_drafter(target, config.shape, counts, config.optim.seed, dtype, anchors)


def open_source(
    config: TrainConfig, target: Target, model: DraftModel, responses: Sequence[Response],
    work: Path, stage: Stage,
) -> ExampleSource:  # fmt: skip
    """Store the responses' features below ``work``; with ``online`` compute them when needed."""
    prompts = config.optim.prompt_anchors > 0
    reader = TargetReader(target.model, model.config.target_layer_ids, prompts=prompts)
    if config.data.online:
        return OnlineSource(reader, responses)
    with stage("features") as advance:
        return extract_features(
            reader, responses, work / FEATURES_FOLDER, config.data.max_disk_bytes,
            lambda done, total: advance(done, total, {}),
        )  # fmt: skip
