"""What a chat may consist of: checking messages before a template sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agentspark.errors import InvalidRequestError

ROLES = ("system", "user", "assistant", "tool")


def check_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Copies of ``messages`` whose ``content`` is one string each.

    Content may be a string or a list of ``{"type": "text", "text": ...}`` parts, which are joined
    as they are; an assistant message with ``tool_calls`` may have none. Other fields stay, for the
    template. Raises ``InvalidRequestError`` (``param="messages"``) for anything else.
    """
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Sequence):
        raise _bad("messages must be a list of {'role': ..., 'content': ...}.")
    if not messages:
        raise _bad("messages is empty: give at least one message.")
    return [_check_message(message, index) for index, message in enumerate(messages)]


def strings_in(value: object) -> Iterator[str]:
    """Every string inside nested mappings and lists, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from strings_in(key)
            yield from strings_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from strings_in(item)


def _check_message(message: Mapping[str, Any], index: int) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise _bad(f"messages[{index}] is no mapping: give {{'role': ..., 'content': ...}}.")
    role = message.get("role")
    if role not in ROLES:
        raise _bad(f"messages[{index}] has role {role!r}: use one of {', '.join(ROLES)}.")
    content = message.get("content")
    if content is None and role == "assistant" and _says_otherwise(message):
        content = ""
    checked = {**message, "content": _text(content, index)}
    for text in strings_in(checked):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise _bad(f"messages[{index}] holds text that is no Unicode: {error}.") from error
    return checked


def _says_otherwise(message: Mapping[str, Any]) -> bool:
    return bool(message.get("tool_calls") or message.get("reasoning_content"))


def _text(content: object, index: int) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, (list, tuple)):
        raise _bad(f"messages[{index}] needs content: a string or a list of text parts.")
    parts = []
    for part in content:
        if not isinstance(part, Mapping) or part.get("type") != "text":
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            raise _bad(f"messages[{index}] has a content part of type {kind!r}: only text is read.")
        if not isinstance(part.get("text"), str):
            raise _bad(f"messages[{index}] has a text part whose text is no string.")
        parts.append(part["text"])
    return "".join(parts)


def _bad(message: str) -> InvalidRequestError:
    return InvalidRequestError(message, param="messages")
