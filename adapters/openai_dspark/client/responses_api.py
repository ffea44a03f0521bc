"""Answers of ``/v1/responses`` as the chats they stand for, as far as a trace tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openai_dspark.wire.chat_reply import (
    ChatChoice,
    ChatCompletion,
    ReplyFunction,
    ReplyMessage,
    ReplyToolCall,
)
from openai_dspark.wire.metrics import Metrics
from openai_dspark.wire.usage import CompletionDetails, PromptDetails, Usage

# Items that are calls for the client to make, and what each holds for the tool.
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_ENDS = ("response.completed", "response.incomplete", "response.failed")


def ended(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The response that an event of a stream ends with; ``None`` for all other events."""
    response = event.get("response")
    return response if event.get("type") in _ENDS and isinstance(response, Mapping) else None


def begins(event: Mapping[str, Any]) -> bool:
    """Whether an event brings a part of the answer."""
    return str(event.get("type", "")).endswith(".delta")


def as_chat(response: Mapping[str, Any]) -> ChatCompletion:
    """The response's message, calls and counts.

    Raises ``KeyError``, ``TypeError``, ``AttributeError`` or ``ValueError`` for what is none.
    """
    texts, thoughts, calls = [], [], []
    for item in response.get("output") or ():
        parts = [str(part.get("text") or "") for part in item.get("content") or ()]
        if (given := _CALLS.get(str(item.get("type")))) is not None:
            name = ".".join(filter(None, (item.get("namespace"), item["name"])))
            function = ReplyFunction(name=name, arguments=item.get(given) or "")
            calls.append(ReplyToolCall(id=item["call_id"], type="function", function=function))
        elif item.get("type") == "reasoning":
            thoughts += parts
        else:
            texts += parts
    message = ReplyMessage(
        role="assistant",
        content="".join(texts),
        reasoning_content="".join(thoughts),
        tool_calls=calls or None,
    )
    finish = {"incomplete": "length", "failed": "error"}.get(
        str(response.get("status")), "tool_calls" if calls else "stop"
    )
    return ChatCompletion(
        id=response["id"],
        object="chat.completion",
        created=int(response.get("created_at") or 0),
        model=response["model"],
        choices=[ChatChoice(index=0, message=message, finish_reason=finish)],
        usage=_usage(response.get("usage")),
        metrics=Metrics.model_validate(response["metrics"]) if response.get("metrics") else None,
    )


def _usage(given: Mapping[str, Any] | None) -> Usage | None:
    if given is None:
        return None
    read = (given.get("input_tokens_details") or {}).get("cached_tokens")
    thought = (given.get("output_tokens_details") or {}).get("reasoning_tokens")
    return Usage(
        prompt_tokens=given["input_tokens"],
        completion_tokens=given["output_tokens"],
        total_tokens=given["total_tokens"],
        prompt_tokens_details=PromptDetails(cached_tokens=read),
        completion_tokens_details=CompletionDetails(reasoning_tokens=thought),
    )
