"""An evaluation from prompt files to scores: one engine after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.params import Verify
from agentspark.engine.precision import dtype_of
from agentspark.errors import ConfigError, DataError, DrafterError
from agentspark.evaluation.contestants import Contestant, by_engine
from agentspark.evaluation.results import Difference, Entrant, Evaluation, Score, Setup
from agentspark.evaluation.rollouts import EncodedPrompt, Turn, run_turns
from agentspark.evaluation.scores import find_differences, score_turns
from agentspark.prompts.encoding import encode_prompt
from agentspark.prompts.files import read_prompt_files
from agentspark.prompts.left_out import LeftOut
from agentspark.prompts.prompt import Prompt
from agentspark.sampling.params import SamplingParams
from agentspark.trace.environment import describe_environment

# Told how many answers there are of how many.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalConfig:
    """What to evaluate and how.

    ``limit`` takes so many prompts, the first of the files. ``verify`` ``full`` verifies whole
    proposals, so that accepted lengths tell of the drafters alone; ``auto`` lets the scheduler
    choose, as in use. With a ``seed``, sampled outputs are the same for all.
    """

    target: str | Path
    contestants: Sequence[Contestant]
    prompts: Sequence[Path]
    limit: int | None = None
    max_tokens: int = 128
    temperatures: Sequence[float] = (0.0, 1.0)
    seed: int | None = None
    verify: Verify = "full"
    engine: EngineConfig = field(default_factory=EngineConfig)

    def __post_init__(self) -> None:
        """Reject settings that cannot be (``ConfigError``, ``InvalidRequestError``)."""
        if not self.temperatures or len(set(self.temperatures)) != len(self.temperatures):
            raise ConfigError("temperatures must be one or more different numbers.")
        for temperature in self.temperatures:
            self.sampling(temperature).validate()

    def sampling(self, temperature: float) -> SamplingParams:
        """How answers are chosen at a temperature."""
        seed = self.seed if temperature > 0.0 else None
        return SamplingParams(max_tokens=self.max_tokens, temperature=temperature, seed=seed)


def evaluate(config: EvalConfig, progress: Progress | None = None) -> Iterator[Evaluation]:
    """Run all rollouts; gives the evaluation so far after every engine, the last one whole.

    Every engine runs alone, with a baseline of its own beside its contestants: a second engine's
    threads on the same cores would slow both. Raises what ``Engine.load`` and
    ``read_prompt_files`` raise, and ``DrafterError`` where no drafter is shipped for the target.
    """
    files = read_prompt_files(config.prompts)
    chosen = files.prompts[: config.limit]
    groups = by_engine(config.contestants)
    total = len(chosen) * len(config.temperatures) * (len(groups) + len(config.contestants))
    counter = _Counter(total, progress)
    found: list[_Group] = []
    for group in groups:
        found.append(_run_group(config, group, chosen, counter))
        told = [text for one in found for text in one.left_out]
        yield Evaluation(
            created_at=datetime.now(UTC),
            complete=len(found) == len(groups),
            environment=describe_environment(
                threads=torch.get_num_threads(),
                accelerator=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            ),
            setup=_setup(config, found),
            entrants=[entrant for one in found for entrant in one.entrants],
            left_out=[*files.describe(), *dict.fromkeys(told)],
            scores=[score for one in found for score in one.scores],
            differences=[difference for one in found for difference in one.differences],
        )


@dataclass(slots=True)
class _Counter:
    """Counts answers for a progress display."""

    total: int
    progress: Progress | None
    done: int = 0

    def add(self, answers: int) -> None:
        self.done += answers
        if self.progress is not None:
            self.progress(self.done, self.total)


@dataclass(frozen=True, slots=True)
class _Group:
    """What one engine's contestants did."""

    target: str
    exact: bool
    prompts: int
    entrants: list[Entrant]
    left_out: list[str]
    scores: list[Score]
    differences: list[Difference]


def _run_group(
    config: EvalConfig, group: Sequence[Contestant], chosen: Sequence[Prompt], counter: _Counter
) -> _Group:
    seeded = config.seed is not None
    with Engine.load(config.target, drafter=group[0].drafter, config=config.engine) as engine:
        if engine.drafter is None and group[0].drafter is not None:
            raise DrafterError(
                f"No drafter is shipped for {engine.target.name}: train one and give its "
                "folder, or evaluate 'suffix' or 'none'."
            )
        prompts, problems = _encode(engine, chosen, config.max_tokens)
        turns: list[Turn] = []
        for turn in run_turns(
            engine, group, prompts, config.sampling, config.temperatures, config.verify
        ):
            turns.append(turn)
            counter.add(1 + len(group))
        return _Group(
            target=engine.target.name,
            exact=engine.exact,
            prompts=len(prompts),
            entrants=[_entrant(engine, contestant) for contestant in group],
            left_out=[*problems, *_failures(turns)],
            scores=score_turns(group, turns, seeded=seeded),
            differences=find_differences(turns, seeded=seeded),
        )


def _setup(config: EvalConfig, found: Sequence[_Group]) -> Setup:
    return Setup(
        target=found[0].target,
        prompt_files=[path.name for path in config.prompts],
        prompts=found[0].prompts,
        max_tokens=config.max_tokens,
        temperatures=list(config.temperatures),
        seed=config.seed,
        verify=str(config.verify),
        dtype=dtype_of(config.engine),
        exact=all(one.exact for one in found),
    )


def _encode(
    engine: Engine, prompts: Sequence[Prompt], max_tokens: int
) -> tuple[list[EncodedPrompt], list[str]]:
    """Token ids of the prompts that can be answered, and sentences on those that cannot."""
    left_out = LeftOut()
    encoded = [
        EncodedPrompt(prompt.id, prompt.kind, ids)
        for prompt in prompts
        if (ids := encode_prompt(engine, prompt, left_out, room=max_tokens)) is not None
    ]
    problems = list(left_out.describe())
    if not encoded:
        raise DataError(f"no prompt can be answered: {' '.join(problems)}")
    return encoded, problems


def _failures(turns: Sequence[Turn]) -> list[str]:
    return [
        f"prompt {turn.prompt.id!r} failed at temperature {turn.temperature:g} ({turn.error})"
        for turn in turns
        if turn.error is not None
    ]


def _entrant(engine: Engine, contestant: Contestant) -> Entrant:
    uses = contestant.speculation in ("dspark", "auto") and engine.drafter is not None
    config = engine.drafter.config if uses and engine.drafter is not None else None
    return Entrant(
        name=contestant.name,
        speculation=contestant.speculation,
        family=None if config is None else config.family,
        layers=None if config is None else config.num_hidden_layers,
        block_size=None if config is None else config.block_size,
        target_layer_ids=None if config is None else list(config.target_layer_ids),
        draft_vocab_size=None if config is None else config.draft_vocab,
    )
