"""What other servers say, in their own words.

The bodies are those of vLLM 0.32 and of llama.cpp in October 2026, shortened where nothing is read.
"""

from __future__ import annotations

import json
from typing import Any

import httpx

USAGE = {
    "prompt_tokens": 55, "completion_tokens": 17, "total_tokens": 72,
    "prompt_tokens_details": {"cached_tokens": 24},
}  # fmt: skip
TIMINGS = {
    "cache_n": 24, "prompt_n": 31, "prompt_ms": 1536.045, "prompt_per_second": 20.18,
    "predicted_n": 17, "predicted_ms": 2180.033, "predicted_per_second": 7.34, "draft_n": 21,
    "draft_n_accepted": 3,
}  # fmt: skip
VLLM = {
    "time_to_first_token_ms": 3152.58, "generation_time_ms": 4977.12, "queue_time_ms": 0.06,
    "mean_itl_ms": 622.14, "tokens_per_second": 1.1,
    "speculative_decoding": {
        "mean_acceptance_length": 3.0, "draft_acceptance_rate": 0.5,
        "acceptance_histogram": [1, 0, 0, 0, 1], "num_spec_steps": 2,
        "num_accepted_draft_tokens": 4, "num_draft_tokens": 8, "num_spec_tokens": 4,
        "per_step_accepted": None, "per_step_drafted": None,
    },
}  # fmt: skip
HEAD = {"id": "chatcmpl-1", "created": 1, "model": "smol", "system_fingerprint": "b0-unknown"}
TOO_LONG = {
    "vllm": {
        "message": "This model's maximum context length is 2048 tokens. However, your prompt "
        "contains at least 2049 input tokens, which exceeds this limit even without any output "
        "tokens. Please reduce the length of the input prompt. (parameter=input_tokens)",
        "type": "BadRequestError", "param": "input_tokens", "code": 400,
    },
    "llama.cpp": {
        "code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 5031, "n_ctx": 2048,
        "message": "request (5031 tokens) exceeds the available context size (2048 tokens), try "
        "increasing it",
    },
}  # fmt: skip


def chunk(*choices: Any, **more: Any) -> dict[str, Any]:
    """An event of a chat's stream."""
    return {**HEAD, "object": "chat.completion.chunk", "choices": [*choices], **more}


def streamed(*events: Any, done: bool = True) -> httpx.Response:
    """A stream of these events, to its end; ``done`` is whether it says so."""
    lines = [f"data: {event if isinstance(event, str) else json.dumps(event)}" for event in events]
    content = "".join(f"{line}\n\n" for line in [*lines, *["data: [DONE]"] * done])
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=content)


def text(said: str) -> dict[str, Any]:
    """News of a choice."""
    return {"index": 0, "delta": {"content": said}, "finish_reason": None}


END = {"index": 0, "delta": {}, "finish_reason": "length"}


def stub(response: httpx.Response) -> httpx.MockTransport:
    """A server that always answers as ``response`` does, unread."""
    kind = {"content-type": response.headers["content-type"]}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(response.status_code, headers=kind, content=iter([body]))

    body = response.content
    return httpx.MockTransport(answer)
