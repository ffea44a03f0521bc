"""A Responses request as a chat request."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from openai_dspark.server.body import explain
from openai_dspark.server.errors import ApiError
from openai_dspark.wire.chat_request import ChatRequest
from openai_dspark.wire.response_items import (
    CallItem,
    CallOutputItem,
    Item,
    MessageItem,
    ReasoningItem,
    plain,
)
from openai_dspark.wire.response_request import ResponseRequest, ResponseSchemaFormat

_NAMES = (
    (re.compile(r"^messages(\[\d+\])?"), "input"),
    (re.compile(r"^max_tokens$|^max_completion_tokens$"), "max_output_tokens"),
    (re.compile(r"^response_format\.json_schema"), "text.format"),
    (re.compile(r"^response_format"), "text.format"),
    (re.compile(r"^(tools\[\d+\])\.function"), r"\1"),
    (re.compile(r"^reasoning_effort$"), "reasoning.effort"),
)


def to_chat(body: ResponseRequest) -> ChatRequest:
    """The chat that ``body`` asks to be answered."""
    fields = {
        "messages": messages_of(body),
        "max_completion_tokens": body.max_output_tokens,
        "tools": [_tool(tool.model_dump(exclude_unset=True)) for tool in body.tools or ()] or None,
        "tool_choice": _choice(body),
        "response_format": _format(body),
        "reasoning_effort": None if body.reasoning is None else body.reasoning.effort,
        "agentspark": None if body.agentspark is None else body.agentspark.model_dump(),
    }
    same = (
        "model",
        "temperature",
        "top_p",
        "stream",
        "parallel_tool_calls",
        "metadata",
        "user",
        "safety_identifier",
        "cache_salt",
    )
    given = {**fields, **{name: getattr(body, name) for name in same}}
    try:
        return ChatRequest.model_validate(given)
    except ValidationError as error:
        raise rename(explain(error, given)) from None


def rename(error: ApiError) -> ApiError:
    """``error`` in this API's names."""
    if error.param is None:
        return error
    for pattern, name in _NAMES:
        param, found = pattern.subn(name, error.param)
        if found:
            return ApiError(
                error.status, str(error), param=param, code=error.code, headers=error.headers
            )
    return error


def messages_of(body: ResponseRequest) -> list[dict[str, Any]]:
    """The input as a chat's messages: what the assistant said and called in a row is one."""
    messages: list[dict[str, Any]] = []
    if body.instructions:
        messages.append({"role": "system", "content": body.instructions})
    if isinstance(body.input, str):
        return [*messages, {"role": "user", "content": body.input}]
    turn: dict[str, Any] | None = None
    for item in body.input:
        part = _turn_part(item)
        if part is None:
            turn = None
            messages.append(_message(item))
        else:
            if turn is None or ("content" in part and turn["content"] is not None):
                turn = {"role": "assistant", "content": None}
                messages.append(turn)
            _add(turn, part)
    return messages


def _turn_part(item: Item) -> dict[str, Any] | None:
    """What an item adds to an assistant's turn; ``None`` if it is none of the assistant's."""
    if isinstance(item, MessageItem) and item.role == "assistant":
        return {"content": plain(item.content)}
    if isinstance(item, CallItem):
        function = {"name": item.name, "arguments": item.arguments}
        return {"call": {"id": item.call_id, "type": "function", "function": function}}
    if isinstance(item, ReasoningItem):
        parts = item.content or item.summary or []
        return {"reasoning": "".join(part.text for part in parts)}
    return None


def _add(turn: dict[str, Any], part: dict[str, Any]) -> None:
    if "content" in part:
        turn["content"] = part["content"]
    elif "call" in part:
        turn.setdefault("tool_calls", []).append(part["call"])
    elif part["reasoning"]:
        turn["reasoning_content"] = turn.get("reasoning_content", "") + part["reasoning"]


def _message(item: Item) -> dict[str, Any]:
    if isinstance(item, CallOutputItem):
        return {"role": "tool", "tool_call_id": item.call_id, "content": plain(item.output)}
    assert isinstance(item, MessageItem), "all other items are parts of turns"
    return {"role": item.role, "content": plain(item.content)}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {k: v for k, v in tool.items() if k != "type"}}


def _choice(body: ResponseRequest) -> Any:
    choice = body.tool_choice
    if choice is None or isinstance(choice, str):
        return choice
    return {"type": "function", "function": {"name": choice.name}}


def _format(body: ResponseRequest) -> dict[str, Any] | None:
    wanted = None if body.text is None else body.text.format
    if wanted is None:
        return None
    if isinstance(wanted, ResponseSchemaFormat):
        shape = wanted.model_dump(by_alias=True, exclude_unset=True)
        return {
            "type": "json_schema",
            "json_schema": {name: value for name, value in shape.items() if name != "type"},
        }
    return {"type": wanted.type}
