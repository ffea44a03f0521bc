"""LangChain messages as the engine and OpenAI's API take them."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from agentspark.errors import InvalidRequestError
from langchain_dspark.response import REASONING

_ROLES: tuple[tuple[type[BaseMessage], str], ...] = (
    (SystemMessage, "system"),
    (HumanMessage, "user"),
    (AIMessage, "assistant"),
    (ToolMessage, "tool"),
)
# Parts of an assistant's content that say again what its other fields hold, or that only their own
# model can read. Other models' answers have them too, in a chat that is handed over.
_SAID_ELSEWHERE = frozenset(
    (
        "function_call",
        "input_json_delta",
        "invalid_tool_call",
        "reasoning",
        "reasoning_content",
        "redacted_thinking",
        "thinking",
        "tool_call",
        "tool_call_chunk",
        "tool_use",
    )
)


def to_engine_messages(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """Map each message to its role, content, tool calls and reasoning.

    Invalid tool calls (they were cut off, say) go along where a tool message answers them, as
    LangChain's agents do. Raises ``InvalidRequestError`` for what a text model cannot be shown:
    images and other media, and message types without a role.
    """
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    return [_message(message, place, answered) for place, message in enumerate(messages)]


def with_calls(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Part of a chat in any order, every result behind its call, made up where it is not there.

    Only for counting: ``trim_messages`` counts a chat's beginnings, and those of it turned around,
    which no template would show.
    """
    calling = {call["id"] for message in messages for call in message.get("tool_calls", ())}
    called: set[str | None] = {None}
    early: dict[str | None, list[dict[str, Any]]] = {}
    found: list[dict[str, Any]] = []
    for message in messages:
        ident = message.get("tool_call_id")
        if ident not in called and ident in calling:
            early.setdefault(ident, []).append(message)
            continue
        if ident not in called:
            function = {"name": "unknown", "arguments": "{}"}
            call = {"id": ident, "type": "function", "function": function}
            found.append({"role": "assistant", "content": "", "tool_calls": [call]})
            called.add(ident)
        found.append(message)
        for call in message.get("tool_calls", ()):
            called.add(call["id"])
            found += early.pop(call["id"], ())
    return found


def _message(message: BaseMessage, place: int, answered: Collection[str]) -> dict[str, Any]:
    mapped: dict[str, Any] = {"role": _role(message, place), "content": _text(message, place)}
    if message.name is not None and not isinstance(message, ToolMessage):
        mapped["name"] = message.name
    if isinstance(message, ToolMessage):
        mapped["tool_call_id"] = message.tool_call_id
    if isinstance(message, AIMessage):
        calls = _calls(message, answered)
        if calls:
            mapped["tool_calls"] = calls
        reasoning = message.additional_kwargs.get(REASONING)
        if isinstance(reasoning, str) and reasoning:
            mapped["reasoning_content"] = reasoning
    return mapped


def _calls(message: AIMessage, answered: Collection[str]) -> list[dict[str, Any]]:
    """The calls, invalid ones that are ``answered`` last; ids that are missing are made up."""
    told = [(call["id"], call["name"], _written(call["args"])) for call in message.tool_calls]
    told += [
        (call["id"], call["name"] or "unknown", call["args"] or "")
        for call in message.invalid_tool_calls
        if call["id"] in answered
    ]
    return [
        {
            "id": ident or f"call_{number}",
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        }
        for number, (ident, name, arguments) in enumerate(told)
    ]


def _written(arguments: dict[str, Any]) -> str:
    """``arguments`` as JSON text, escaped where there is half of a surrogate pair in it."""
    text = json.dumps(arguments, ensure_ascii=False)
    return text if _is_unicode(text) else json.dumps(arguments)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _reject(place: int, what: str) -> InvalidRequestError:
    return InvalidRequestError(f"messages[{place}]: {what}", param="messages")


def _role(message: BaseMessage, place: int) -> str:
    if isinstance(message, ChatMessage):
        return message.role
    for kind, role in _ROLES:
        if isinstance(message, kind):
            return role
    raise _reject(
        place,
        f"{type(message).__name__} has no chat role here: use SystemMessage, HumanMessage, "
        "AIMessage, ToolMessage or ChatMessage.",
    )


def _text(message: BaseMessage, place: int) -> str:
    content = message.content
    if isinstance(content, str):
        return content
    parts: list[str] = []
    for block in content:
        if isinstance(block, str):
            parts.append(block)
        elif block.get("type") == "text" and isinstance(block.get("text"), str):
            parts.append(block["text"])
        elif isinstance(message, AIMessage) and block.get("type") in _SAID_ELSEWHERE:
            continue
        else:
            raise _reject(
                place, f"content of type {block.get('type')!r} cannot be read: give text only."
            )
    return "".join(parts)
