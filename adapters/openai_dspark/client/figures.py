"""What a server says of a call's making, as fields of a trace record."""

from __future__ import annotations

from typing import Any

from openai_dspark.wire.metrics import Metrics, SpeculativeDecoding, StepFigures
from openai_dspark.wire.usage import PromptDetails, Usage

_TIMES = ("queue_ms", "prefill_ms", "ttft_ms", "decode_ms")
_COUNTS = ("rounds", "draft_tokens", "verified_tokens", "accepted_tokens", "accepted_histogram")


def token_counts(usage: Usage | None) -> dict[str, Any]:
    """Tokens of the prompt, of it those cached, and of the answer; ``None`` is not said."""
    details = (usage and usage.prompt_tokens_details) or PromptDetails()
    return {
        "prompt_tokens": None if usage is None else usage.prompt_tokens,
        "cached_tokens": details.cached_tokens,
        "completion_tokens": None if usage is None else usage.completion_tokens,
    }


def draft_counts(metrics: Metrics | None, usage: Usage | None, choices: int) -> dict[str, Any]:
    """How drafts fared: as agentspark says it, or of vLLM's figures what follows from them.

    vLLM verifies all that it drafts, and counts only passes that verified something. Those are all
    passes where they account for all tokens but the first; else the passes are not known.
    """
    if metrics is None:
        return {}
    if metrics.agentspark is not None:
        return {name: getattr(metrics.agentspark, name) for name in _COUNTS}
    spec = metrics.speculative_decoding
    if spec is None:
        return {}
    return {
        "rounds": spec.num_spec_steps if _all_passes(spec, usage, choices) else None,
        "draft_tokens": spec.num_draft_tokens,
        "verified_tokens": spec.num_draft_tokens,
        "accepted_tokens": spec.num_accepted_draft_tokens,
        "accepted_histogram": spec.acceptance_histogram,
    }


def server_times(metrics: Metrics | None) -> dict[str, float | None]:
    """Milliseconds in the queue, of the prefill, to the first token and from there to the last.

    What vLLM calls the time to the first token begins when the request has left its queue.
    """
    if metrics is None:
        return dict.fromkeys(_TIMES)
    if metrics.agentspark is not None:
        return {name: getattr(metrics.agentspark, name) for name in _TIMES}
    queue, prefill = metrics.queue_time_ms, metrics.time_to_first_token_ms
    first = None if queue is None or prefill is None else queue + prefill
    return dict(zip(_TIMES, (queue, prefill, first, metrics.generation_time_ms), strict=True))


def server_figures(metrics: Metrics | None) -> StepFigures:
    """An agentspark server's own account of the call; all ``None`` from others."""
    return (metrics and metrics.agentspark) or StepFigures()


def _all_passes(spec: SpeculativeDecoding, usage: Usage | None, choices: int) -> bool:
    if usage is None:
        return False
    by_rounds = spec.num_spec_steps + spec.num_accepted_draft_tokens
    return by_rounds == usage.completion_tokens - choices
