"""Usage and metrics of finished generations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from agentspark.engine.result import Completion, Counts
from openai_dspark.wire.metrics import Metrics, SpeculativeDecoding, StepFigures
from openai_dspark.wire.usage import CompletionDetails, PromptDetails, Usage


def usage_of(choices: Sequence[Completion], n: int) -> Usage:
    """Tokens of all choices, which go by prompt, ``n`` for each.

    A prompt counts once, and what the first of its choices found cached.
    """
    counts = [choice.counts for choice in choices]
    firsts = counts[::n]
    prompt = sum(first.prompt_tokens for first in firsts)
    completion = sum(count.completion_tokens for count in counts)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptDetails(
            cached_tokens=sum(first.cached_tokens for first in firsts)
        ),
        completion_tokens_details=CompletionDetails(
            reasoning_tokens=sum(count.reasoning_tokens or 0 for count in counts),
            accepted_prediction_tokens=sum(count.prediction_accepted for count in counts),
            rejected_prediction_tokens=sum(count.prediction_rejected for count in counts),
        ),
    )


def metrics_of(choices: Sequence[Completion]) -> Metrics:
    """How the choices of one response were made; times are the first one's."""
    first = choices[0]
    total = _sum([choice.counts for choice in choices])
    timings = first.timings
    figures = StepFigures(
        run=first.labels.run,
        step=first.labels.step,
        arm=first.labels.arm,
        drafter=first.drafter,
        rounds=total.rounds,
        draft_tokens=total.draft_tokens,
        verified_tokens=total.verified_tokens,
        accepted_tokens=total.accepted_tokens,
        # Tokens per round; each choice has one token, its first, that no round made.
        accepted_length=(total.completion_tokens - len(choices)) / total.rounds
        if total.rounds
        else None,
        accepted_histogram=total.accepted_histogram,
        queue_ms=_ms(timings.queue_s),
        prefill_ms=_ms(timings.prefill_s),
        ttft_ms=_ms(timings.ttft_s),
        decode_ms=_ms(timings.decode_s),
        total_ms=_ms(max(choice.timings.total_s or 0.0 for choice in choices)),
    )
    if first.options.speculation == "off":
        return Metrics(agentspark=figures)
    return Metrics(speculative_decoding=_speculation(total), agentspark=figures)


def _speculation(total: Counts) -> SpeculativeDecoding:
    accepted, verified, rounds = total.accepted_tokens, total.verified_tokens, total.rounds
    made = SpeculativeDecoding(
        mean_acceptance_length=1 + accepted / rounds if rounds else None,
        draft_acceptance_rate=accepted / verified if verified else None,
        acceptance_histogram=total.accepted_histogram,
        num_spec_steps=rounds,
        num_accepted_draft_tokens=accepted,
        num_draft_tokens=verified,
        num_spec_tokens=max(len(total.accepted_histogram) - 1, 0),
    )
    if total.round_accepted is not None:
        made.per_step_accepted, made.per_step_drafted = total.round_accepted, total.round_verified
    return made


def _sum(counts: Sequence[Counts]) -> Counts:
    total = Counts(counts[0].prompt_tokens)
    for count in counts:
        total.completion_tokens += count.completion_tokens
        total.rounds += count.rounds
        total.draft_tokens += count.draft_tokens
        total.verified_tokens += count.verified_tokens
        total.accepted_tokens += count.accepted_tokens
        longer = max(len(total.accepted_histogram), len(count.accepted_histogram))
        for histogram in (total.accepted_histogram, other := list(count.accepted_histogram)):
            histogram.extend([0] * (longer - len(histogram)))
        total.accepted_histogram = [
            a + b for a, b in zip(total.accepted_histogram, other, strict=True)
        ]
    total.round_accepted = _joint([count.round_accepted for count in counts])
    total.round_verified = _joint([count.round_verified for count in counts])
    return total


def _joint(rounds: Sequence[list[int] | None]) -> list[int] | None:
    """The rounds of one choice after the other; ``None`` where they were not kept."""
    known = [own for own in rounds if own is not None]
    return list(chain.from_iterable(known)) if len(known) == len(rounds) else None


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 3)
