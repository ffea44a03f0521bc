"""LangChain messages as the role/content mappings the engine's chat template takes."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from agentspark.errors import InvalidRequestError

_ROLES: tuple[tuple[type[BaseMessage], str], ...] = (
    (SystemMessage, "system"),
    (HumanMessage, "user"),
    (AIMessage, "assistant"),
    (ToolMessage, "tool"),
)


def to_engine_messages(messages: Sequence[BaseMessage]) -> list[dict[str, str]]:
    """Map each message to ``{"role", "content"}``.

    Raises ``InvalidRequestError`` for what a text model cannot be shown: images and other media,
    tool calls, and message types without a role.
    """
    return [
        {"role": _role(message, place), "content": _text(message, place)}
        for place, message in enumerate(messages)
    ]


def _reject(place: int, what: str) -> InvalidRequestError:
    return InvalidRequestError(f"messages[{place}]: {what}", param="messages")


def _role(message: BaseMessage, place: int) -> str:
    if isinstance(message, ChatMessage):
        return message.role
    if isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls):
        raise _reject(
            place, "tool calls cannot be rendered for this model yet: leave the message out."
        )
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
        else:
            raise _reject(
                place, f"content of type {block.get('type')!r} cannot be read: give text only."
            )
    return "".join(parts)
