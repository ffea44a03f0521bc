"""What a response says of its own making."""

from __future__ import annotations

from openai_dspark.wire.body import Reply


class SpeculativeDecoding(Reply):
    """Acceptance in the shape that vLLM gives and AIPerf reads.

    A step is a target pass after the prefill; ``num_draft_tokens`` counts drafts that were
    verified; ``acceptance_histogram[k]`` counts the steps that kept ``k`` drafts, and
    ``num_spec_tokens`` is the most that one step kept. ``mean_acceptance_length`` counts the
    target's own token. ``per_step_accepted`` and ``per_step_drafted`` (verified, too) are every
    step's, in order, where the server was asked to tell.
    """

    mean_acceptance_length: float | None
    draft_acceptance_rate: float | None
    acceptance_histogram: list[int]
    num_spec_steps: int
    num_accepted_draft_tokens: int
    num_draft_tokens: int
    num_spec_tokens: int
    per_step_accepted: list[int] | None = None
    per_step_drafted: list[int] | None = None


class StepFigures(Reply):
    """This call as a step of its agent's run: where it stands, where its time went."""

    run: str | None = None
    step: int | None = None
    arm: str | None = None
    drafter: str | None = None
    rounds: int | None = None
    draft_tokens: int | None = None
    verified_tokens: int | None = None
    accepted_tokens: int | None = None
    accepted_length: float | None = None
    accepted_histogram: list[int] | None = None
    queue_ms: float | None = None
    prefill_ms: float | None = None
    ttft_ms: float | None = None
    decode_ms: float | None = None
    total_ms: float | None = None


class Metrics(Reply):
    """``speculative_decoding`` is absent where nothing may be drafted.

    The last three are vLLM's; agentspark's own times are among its figures.
    """

    speculative_decoding: SpeculativeDecoding | None = None
    agentspark: StepFigures | None = None
    queue_time_ms: float | None = None
    time_to_first_token_ms: float | None = None
    generation_time_ms: float | None = None
