"""A finished request as LangChain's message, chunk, usage and response metadata."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from agentspark.engine.result import Completion, Delta

PROVIDER = "agentspark"


def to_result(completion: Completion) -> ChatResult:
    """The answer of ``invoke``: one generation with its figures."""
    message = AIMessage(
        content=completion.text,
        usage_metadata=usage(completion),
        response_metadata=metadata(completion),
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


def to_chunk(delta: Delta) -> ChatGenerationChunk:
    """One piece of a stream; the last one carries the figures and ``chunk_position="last"``."""
    if delta.completion is None:
        return ChatGenerationChunk(message=AIMessageChunk(content=delta.text))
    return ChatGenerationChunk(
        message=AIMessageChunk(
            content=delta.text,
            usage_metadata=usage(delta.completion),
            response_metadata=metadata(delta.completion),
            chunk_position="last",
        )
    )


def usage(completion: Completion) -> UsageMetadata:
    """Token counts in LangChain's terms; ``cache_read`` is part of ``input_tokens``."""
    counts = completion.counts
    return UsageMetadata(
        input_tokens=counts.prompt_tokens,
        output_tokens=counts.completion_tokens,
        total_tokens=counts.prompt_tokens + counts.completion_tokens,
        input_token_details=InputTokenDetails(cache_read=counts.cached_tokens),
    )


def metadata(completion: Completion) -> dict[str, Any]:
    """Model, finish reason, acceptance and timings (milliseconds; ``None`` is unknown)."""
    counts, timings = completion.counts, completion.timings
    return {
        "model_name": completion.model,
        "model_provider": PROVIDER,
        "finish_reason": completion.finish_reason,
        "request_id": completion.request_id,
        "drafter": completion.drafter,
        "speculation": {
            "rounds": counts.rounds,
            "draft_tokens": counts.draft_tokens,
            "verified_tokens": counts.verified_tokens,
            "accepted_tokens": counts.accepted_tokens,
            "accepted_length": counts.accepted_length,
            "accepted_histogram": list(counts.accepted_histogram),
        },
        "timings": {
            "queue_ms": _ms(timings.queue_s),
            "prefill_ms": _ms(timings.prefill_s),
            "ttft_ms": _ms(timings.ttft_s),
            "decode_ms": _ms(timings.decode_s),
            "total_ms": _ms(timings.total_s),
        },
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000.0, 3)
