"""What one model call leaves behind: ``StepRecord``, one JSON line in a trace file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, computed_field

from agentspark.trace.environment import Environment

SCHEMA_VERSION: Final = 1
KNOWN_VERSIONS = frozenset({1})

Arm = Literal["baseline", "accelerated"]
ARMS: tuple[Arm, ...] = get_args(Arm)

# What lies outside is damage, and must not be added up: it would run over dates, floats and axes.
# A duration may be 30 years, a count may be any that a float holds exactly, and a place any that
# an axis tells from the next one.
Count = Annotated[int, Field(ge=0, le=2**53)]
Place = Annotated[int, Field(ge=-(10**15), le=10**15)]
Millis = Annotated[float, Field(ge=0.0, le=1e12)]
Money = Annotated[float, Field(ge=-1e30, le=1e30)]
Moment = Annotated[
    AwareDatetime,
    Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(3000, 1, 1, tzinfo=UTC)),
]

OPT_IN = ("prompt_token_ids", "output_token_ids", "output_margins")


class _Part(BaseModel):
    """Strict and immutable: a misspelt field is an error where it is written."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Options(_Part):
    """How the engine was asked to run this call; two arms differ in the first three only."""

    speculation: str | None = None
    verify: Literal["auto", "full"] | int | None = None
    share_prefix: bool | None = None
    exact: bool | None = None
    dtype: str | None = None
    device: str | None = None


class Sampling(_Part):
    """What decides which tokens come out, as far as two calls must agree to be compared.

    ``None`` was left to a server.
    """

    temperature: float | None
    top_p: float | None
    seed: int | None
    max_tokens: int | None


class Cost(_Part):
    """Money for one call by a price table; a part without a price is ``None``.

    ``machine`` is the time the call held the machine (queueing excluded) at the hourly price.
    Calls that run at once each count their whole time; a report scales that to the busy time.
    """

    currency: str
    prompt: Money | None = None
    cached: Money | None = None
    completion: Money | None = None
    machine: Money | None = None
    total: Money | None = None


class Failure(_Part):
    """Why a call failed: the exception's class name and its message."""

    type: str
    message: str


class StepRecord(_Part):
    """One model call of an agent. Unknown is ``None``, never zero; durations are milliseconds.

    ``id`` is unique in the world, ``request_id`` in its engine. ``run`` names the agent's task,
    ``repeat`` counts repetitions of the same task from 1, ``step`` counts its calls from 1,
    ``parent`` is the ``id`` or name of what started this call. ``gap_ms`` is the time from the end
    of the run's previous call to the start of this one: tools, and the agent's own code.

    ``provider`` and ``server`` (``host:port``) are who answered, where a server's client wrote the
    record: as OpenTelemetry's GenAI conventions name it, or by the name of its software.

    ``prefill_ms`` runs from admission to the first token, ``ttft_ms`` is queue plus prefill,
    ``decode_ms`` runs from the first token to the last. ``reasoning_tokens`` are a part of
    ``completion_tokens``, ``None`` also where the model does not reason. ``rounds`` are target
    passes after the prefill. ``accepted_histogram[k]`` counts the rounds that kept ``k`` drafts.
    ``cache_break_position`` is where the prompt parts from that of the run's previous step,
    ``None`` where it extends it or there is none.
    ``prompt_hash`` and ``output_hash`` are ``token_hash`` of the ids, or ``text_hash`` where a
    server's client wrote the record, which sees texts only; its times are as that saw them.
    ``output_margins`` are, per
    output token, its logit minus the best other one's (negative where a sampled token was not
    the likeliest). The last three fields are written only where they were asked for, and those of
    outputs in the arms that a comparison runs (``TraceContext.detail``).
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    id: str
    request_id: str | None = None
    run: str | None = None
    repeat: Annotated[Place, Field(ge=1)] | None = None
    step: Place | None = None
    step_name: str | None = None
    step_kind: str | None = None
    parent: str | None = None
    arm: str | None = None
    model: str
    provider: str | None = None
    server: str | None = None
    drafter: str | None = None
    options: Options = Options()
    sampling: Sampling | None = None

    started_at: Moment
    gap_ms: Millis | None = None
    queue_ms: Millis | None = None
    prefill_ms: Millis | None = None
    ttft_ms: Millis | None = None
    decode_ms: Millis | None = None
    total_ms: Millis | None = None

    prompt_tokens: Count | None = None
    cached_tokens: Count | None = None
    completion_tokens: Count | None = None
    reasoning_tokens: Count | None = None
    rounds: Count | None = None
    draft_tokens: Count | None = None
    verified_tokens: Count | None = None
    accepted_tokens: Count | None = None
    accepted_histogram: list[Count] | None = None
    cache_break_position: Count | None = None

    finish_reason: str | None = None
    prompt_hash: str | None = None
    output_hash: str | None = None
    cost: Cost | None = None
    error: Failure | None = None
    environment: Environment | None = None

    prompt_token_ids: list[int] | None = None
    output_token_ids: list[int] | None = None
    output_margins: list[float] | None = None

    @computed_field  # type: ignore[prop-decorator]  # mypy sees property under the decorator
    @property
    def accepted_length(self) -> float | None:
        """Mean tokens per round, bonus token included; ``None`` before the first round."""
        if not self.rounds or not self.completion_tokens:
            return None
        return (self.completion_tokens - 1) / self.rounds

    @property
    def answered_by(self) -> str | None:
        """``provider``, also of agentspark's own records; ``None`` is a server that names nothing.

        An engine's record has its environment, a client's of agentspark's server its options.
        """
        own = self.environment is not None or self.options != Options()
        return self.provider or ("agentspark" if own else None)

    @property
    def started_unix(self) -> float:
        """Wall clock at submission, unix seconds."""
        return self.started_at.timestamp()

    @property
    def ended_unix(self) -> float | None:
        """Wall clock at the last token, unix seconds."""
        return None if self.total_ms is None else self.started_unix + self.total_ms / 1e3

    @property
    def succeeded(self) -> bool:
        """Whether the call ran to its own end (not failed, not cancelled)."""
        return self.error is None and self.finish_reason not in ("error", "cancelled")

    def to_json_line(self) -> bytes:
        """The record as one line of UTF-8 JSON, newline included."""
        absent = {name for name in OPT_IN if getattr(self, name) is None}
        return self.model_dump_json(exclude=absent).encode() + b"\n"
