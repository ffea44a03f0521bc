"""What an evaluation found, as it is written to ``evaluation.json``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from agentspark.errors import ConfigError
from agentspark.files import write_text
from agentspark.trace.environment import Environment

FILE_NAME = "evaluation.json"
ALL_KINDS = "all"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Score(_Frozen):
    """A contestant at one temperature on one kind of prompt (``all`` for all of them).

    ``accepted_length`` is tokens per round, bonus included; ``ended_accepted_length`` the same over
    the ``ended`` answers that were not cut at ``max_tokens``, as a model that repeats itself to
    the end of the room is easy to draft for. Their ``..._error`` are standard errors, from how the
    prompts differ: with other prompts of the kind, two in three such lengths lie within one.
    ``conditional[k]`` is the share of
    rounds that kept draft ``k + 1`` among those that verified it and kept all before it.
    ``wasted_tokens`` were verified and not kept. Speeds are of decoding, one stream:
    ``tokens_s`` all tokens over all time, ``speedup`` the median over prompts against the same
    engine without speculation, ``total_speedup`` the ratio of all tokens over all time.
    ``identical`` counts prompts whose output is the baseline's, of ``comparable`` ones (greedy or
    seeded). ``None`` is unknown: no round, or nothing that can be compared.
    """

    contestant: str
    temperature: float
    kind: str
    prompts: int
    completion_tokens: int
    rounds: int
    accepted_length: float | None
    accepted_length_error: float | None = None
    ended: int
    ended_accepted_length: float | None
    ended_accepted_length_error: float | None = None
    conditional: list[float | None]
    draft_tokens: int
    verified_tokens: int
    accepted_tokens: int
    wasted_tokens: int
    tokens_s: float | None
    baseline_tokens_s: float | None
    speedup: float | None
    total_speedup: float | None
    identical: int
    comparable: int


class Entrant(_Frozen):
    """A contestant: its drafter's family and shape where it has one."""

    name: str
    speculation: str
    family: str | None
    layers: int | None
    block_size: int | None
    target_layer_ids: list[int] | None
    draft_vocab_size: int | None


class Difference(_Frozen):
    """Where an output that should be the baseline's first is another."""

    contestant: str
    prompt: str
    temperature: float
    position: int


class Setup(_Frozen):
    """What was asked: the prompts and how they were answered."""

    target: str
    prompt_files: list[str]
    prompts: int
    max_tokens: int
    temperatures: list[float]
    seed: int | None
    verify: str
    dtype: str
    exact: bool


class Evaluation(_Frozen):
    """The whole. ``left_out`` says which prompts, and what of them, were not used, and why.

    ``complete`` is false while engines are still to run.
    """

    schema_version: int = 1
    created_at: datetime
    complete: bool
    environment: Environment
    setup: Setup
    entrants: list[Entrant]
    left_out: list[str]
    scores: list[Score]
    differences: list[Difference]

    def score(self, contestant: str, temperature: float, kind: str = ALL_KINDS) -> Score | None:
        """The score of a contestant, ``None`` where it has none."""
        for score in self.scores:
            if (score.contestant, score.temperature, score.kind) == (contestant, temperature, kind):
                return score
        return None

    @property
    def kinds(self) -> list[str]:
        """The kinds of prompts, in alphabetical order, without ``all``."""
        return sorted({score.kind for score in self.scores} - {ALL_KINDS})

    def write(self, folder: Path) -> Path:
        """Write ``evaluation.json``, whole or not at all; ``ConfigError`` where it cannot be."""
        path = folder / FILE_NAME
        try:
            write_text(path, self.model_dump_json(indent=1) + "\n")
        except OSError as error:
            raise not_written(path, error) from error
        return path


def not_written(path: Path, error: OSError) -> ConfigError:
    """The error for a result that could not be written to ``path``."""
    return ConfigError(
        f"{path} cannot be written ({error.strerror}): free some disk, or give another folder."
    )
