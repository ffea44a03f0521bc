"""The shape of ``report.json``; every other form of the report is drawn from it."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from agentspark.trace.cost import PriceTable
from agentspark.trace.environment import Environment
from agentspark.trace.record import Arm, Failure, Options, Sampling

SUMMARY_VERSION: Final = 1

OddReason = Literal["unpaired", "failed", "other arm"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Measures(_Part):
    """What both a step and a whole arm are measured by; milliseconds, ``None`` is unknown.

    Of a step with repetitions: medians, with the histogram and accepted length over all of them.
    Of an arm: sums over its compared calls, ``tokens_per_second`` being that of decoding.
    """

    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    queue_ms: float | None = None
    prefill_ms: float | None = None
    ttft_ms: float | None = None
    decode_ms: float | None = None
    total_ms: float | None = None
    rounds: int | None = None
    draft_tokens: int | None = None
    verified_tokens: int | None = None
    accepted_tokens: int | None = None
    accepted_length: float | None = None
    accepted_histogram: list[int] | None = None
    tokens_per_second: float | None = None
    cost: float | None = None

    @property
    def cached_share(self) -> float | None:
        """The part of the prompt tokens that came from the cache, 0 to 1."""
        if self.cached_tokens is None or not self.prompt_tokens:
            return None
        return self.cached_tokens / self.prompt_tokens


class ArmTotals(Measures):
    """One arm as a whole.

    ``busy_ms`` is the time in which at least one call ran, ``tools_ms`` the time between the
    calls of a run, ``wall_ms`` their sum: from the start of each run to its end. The last two are
    unknown where the arms took turns within a run or a run is incomplete.
    """

    calls: int
    median_ttft_ms: float | None = None
    median_total_ms: float | None = None
    busy_ms: float | None = None
    tools_ms: float | None = None
    wall_ms: float | None = None
    currency: str | None = None


class StepSide(Measures):
    """One step in one arm."""

    gap_ms: float | None = None
    finish_reason: str | None = None
    output_hash: str | None = None
    cache_break_position: int | None = None


class Speedup(_Part):
    """Baseline time over accelerated time; above 1 the acceleration pays.

    ``total`` is of the calls' own time, ``wall`` includes tools and counts parallel calls once.
    """

    total: float | None = None
    prefill: float | None = None
    ttft: float | None = None
    decode: float | None = None
    wall: float | None = None


class StepSpeedup(Speedup):
    """With the lowest and highest total of any repetition."""

    total_low: float | None = None
    total_high: float | None = None


class Interval(_Part):
    """A bootstrap interval of the total speed-up over the steps."""

    low: float
    high: float
    confidence: float


class FirstDivergence(_Part):
    """Where the outputs of a pair part: the first position (from 0) whose tokens differ.

    A token is ``None`` where that output had already ended. Margins are logit differences to the
    best other token, known where the records carry them.
    """

    position: int
    baseline_token: int | None
    accelerated_token: int | None
    baseline_margin: float | None
    accelerated_margin: float | None


class StepRow(_Part):
    """One step of one run, over its repetitions."""

    run: str | None
    step: int
    step_name: str | None
    step_kind: str | None
    repeats: int
    baseline: StepSide
    accelerated: StepSide
    speedup: StepSpeedup
    outputs_identical: bool | None
    prompts_identical: bool | None
    first_divergence: FirstDivergence | None


class Group(_Part):
    """Some of the compared calls together: a kind of step, or runs that started cold or warm."""

    name: str
    calls: int
    speedup: Speedup
    baseline: ArmTotals
    accelerated: ArmTotals


class OddStep(_Part):
    """A call that is not compared, and why."""

    run: str | None
    repeat: int | None
    step: int | None
    step_name: str | None
    arm: str | None
    reason: OddReason
    error: Failure | None = None


class Counts(_Part):
    """How much was compared."""

    runs: int
    repeats: int
    steps: int
    pairs: int
    identical: int
    different: int
    unknown: int


class Note(_Part):
    """Something the reader must know before believing a number (``warning``), or may want to."""

    level: Literal["warning", "info"]
    text: str


class Segment(_Part):
    """One call on the timeline, milliseconds from the start of its run."""

    step: int
    name: str | None
    lane: int
    start_ms: float
    queue_ms: float
    prefill_ms: float
    decode_ms: float
    total_ms: float

    @property
    def other_ms(self) -> float:
        """What no phase accounts for: all of it where a server reports no phases."""
        return max(0.0, self.total_ms - self.queue_ms - self.prefill_ms - self.decode_ms)


class Timeline(_Part):
    """One run of each arm, side by side. ``joined``: laid end to end, as the arms took turns."""

    run: str | None
    repeat: int | None
    joined: bool
    baseline: list[Segment]
    accelerated: list[Segment]


class Setup(_Part):
    """What the calls of one arm ran with; ``None`` where they differ among themselves."""

    model: str | None
    drafter: str | None
    options: Options
    sampling: Sampling | None


class Summary(_Part):
    """A whole comparison. ``prices`` is ``None`` where costs are as the traces recorded them."""

    schema_version: Literal[1] = SUMMARY_VERSION
    title: str
    created_at: datetime
    measured_from: datetime
    measured_to: datetime
    counts: Counts
    outputs_identical: bool
    speedup: Speedup
    speedup_interval: Interval | None
    arms: dict[Arm, ArmTotals]
    setup: dict[Arm, Setup]
    steps: list[StepRow]
    kinds: list[Group]
    starts: list[Group]
    odd: list[OddStep]
    notes: list[Note]
    timeline: Timeline | None
    prices: PriceTable | None
    environment: list[Environment]
