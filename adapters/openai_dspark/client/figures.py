"""What a server says of a call's making, as fields of a trace record."""

from __future__ import annotations

from typing import Any

from openai_dspark.client.llama_cpp import Timings
from openai_dspark.wire.metrics import Metrics, SpeculativeDecoding, StepFigures
from openai_dspark.wire.usage import CompletionDetails, PromptDetails, Usage

_TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
_TIMES = ("queue_ms", "prefill_ms", "ttft_ms", "decode_ms")
_COUNTS = ("rounds", "draft_tokens", "verified_tokens", "accepted_tokens", "accepted_histogram")


def token_counts(usage: Usage | None, timings: Timings | None = None) -> dict[str, Any]:
    """Tokens of the prompt and of it those cached, of the answer and of it the reasoning.

    ``None`` is not said. llama.cpp counts them in its timings too, also where nobody asks for the
    usage of a stream.
    """
    counts: tuple[int | None, ...] = (None,) * len(_TOKENS)
    if usage is not None:
        prompt = usage.prompt_tokens_details or PromptDetails()
        answer = usage.completion_tokens_details or CompletionDetails()
        counts = (
            usage.prompt_tokens,
            prompt.cached_tokens,
            usage.completion_tokens,
            answer.reasoning_tokens,
        )
    elif timings is not None and timings.prompt_n is not None and timings.cache_n is not None:
        cached = timings.cache_n
        counts = timings.prompt_n + cached, cached, timings.predicted_n, None
    return dict(zip(_TOKENS, counts, strict=True))


def draft_counts(
    metrics: Metrics | None, usage: Usage | None, choices: int, timings: Timings | None = None
) -> dict[str, Any]:
    """How drafts fared: as agentspark says it, or of others' figures what follows from them.

    vLLM and llama.cpp verify all that they draft. vLLM counts only passes that verified something:
    those are all passes where they account for all tokens but the first; else they are not known.
    """
    if metrics is None:
        return _of_llama_cpp(timings)
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


def server_times(
    metrics: Metrics | None, timings: Timings | None = None
) -> dict[str, float | None]:
    """Milliseconds in the queue, of the prefill, to the first token and from there to the last.

    What vLLM calls the time to the first token begins when the request has left its queue, and so
    does llama.cpp's time of the prompt; how long it waited before, llama.cpp does not say.
    """
    if metrics is None:
        if timings is None:
            return dict.fromkeys(_TIMES)
        known = None, timings.prompt_ms, None, timings.predicted_ms
        return dict(zip(_TIMES, known, strict=True))
    if metrics.agentspark is not None:
        return {name: getattr(metrics.agentspark, name) for name in _TIMES}
    queue, prefill = metrics.queue_time_ms, metrics.time_to_first_token_ms
    first = None if queue is None or prefill is None else queue + prefill
    return dict(zip(_TIMES, (queue, prefill, first, metrics.generation_time_ms), strict=True))


def server_figures(metrics: Metrics | None) -> StepFigures:
    """An agentspark server's own account of the call; all ``None`` from others."""
    return (metrics and metrics.agentspark) or StepFigures()


def _of_llama_cpp(timings: Timings | None) -> dict[str, Any]:
    if timings is None or timings.draft_n is None:
        return {}
    return {
        "draft_tokens": timings.draft_n,
        "verified_tokens": timings.draft_n,
        "accepted_tokens": timings.draft_n_accepted,
    }


def _all_passes(spec: SpeculativeDecoding, usage: Usage | None, choices: int) -> bool:
    if usage is None:
        return False
    by_rounds = spec.num_spec_steps + spec.num_accepted_draft_tokens
    return by_rounds == usage.completion_tokens - choices
