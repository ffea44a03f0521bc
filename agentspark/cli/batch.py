"""Runs a list of prompts on one engine, several at a time, and gives the answers in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from agentspark.errors import RequestError
from agentspark.prompts.prompt import Prompt

if TYPE_CHECKING:
    from agentspark.engine.engine import Engine
    from agentspark.engine.params import RequestOptions
    from agentspark.engine.result import Completion
    from agentspark.sampling.params import SamplingParams

Answer = tuple[Prompt, "Completion | RequestError"]


def run_batch(
    engine: Engine,
    prompts: Sequence[Prompt],
    sampling: SamplingParams,
    options: RequestOptions,
    concurrency: int,
) -> Iterator[Answer]:
    """Yield ``(prompt, completion)`` in the order of ``prompts``, ``concurrency`` at once.

    What a prompt asks for itself wins over ``sampling``. A prompt that fails yields its
    ``RequestError`` and the others go on; any other error ends it.
    """

    def one(prompt: Prompt) -> Completion | RequestError:
        asked = prompt.asked
        params = asked.over(sampling)
        try:
            if prompt.messages is not None:
                return engine.chat(prompt.messages, params, chat=asked.chat, options=options)
            return engine.generate(prompt.token_ids or [], params, options=options)
        except RequestError as error:
            return error

    pool = ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="generate")
    try:
        waiting = [pool.submit(one, prompt) for prompt in prompts]
        for prompt, future in zip(prompts, waiting, strict=True):
            yield prompt, future.result()
    finally:
        # The threads still waiting end with their requests when the caller closes the engine.
        pool.shutdown(wait=False, cancel_futures=True)


def to_line(prompt: Prompt, answer: Completion | RequestError) -> dict[str, Any]:
    """The output line of one prompt; a failed one has finish reason ``error`` and the message."""
    if isinstance(answer, RequestError):
        return {
            "id": prompt.line_id,
            "token_ids": [],
            "text": "",
            "finish_reason": "error",
            "error": str(answer),
            "metrics": None,
        }
    counts, timings = answer.counts, answer.timings
    parts = {} if answer.answer is None else _parts(answer)
    return {
        "id": prompt.line_id,
        "token_ids": answer.token_ids,
        "text": answer.text,
        **parts,
        "finish_reason": answer.finish_reason,
        "metrics": {
            "prompt_tokens": counts.prompt_tokens,
            "cached_tokens": counts.cached_tokens,
            "completion_tokens": counts.completion_tokens,
            "rounds": counts.rounds,
            "draft_tokens": counts.draft_tokens,
            "verified_tokens": counts.verified_tokens,
            "accepted_tokens": counts.accepted_tokens,
            "queue_ms": _ms(timings.queue_s),
            "ttft_ms": _ms(timings.ttft_s),
            "decode_ms": _ms(timings.decode_s),
            "total_ms": _ms(timings.total_s),
        },
    }


def _parts(answer: Completion) -> dict[str, Any]:
    """An answer that was taken apart: content, reasoning if the model reasons, calls."""
    reasoning = {} if answer.reasoning is None else {"reasoning": answer.reasoning}
    calls = [
        {"id": call.id, "name": call.name, "arguments": call.arguments}
        for call in answer.tool_calls
    ]
    return {"content": answer.content, **reasoning, "tool_calls": calls}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000.0, 3)
