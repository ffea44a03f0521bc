"""The fields that lines of prompts files and of transcripts files have in common.

The errors say what is wrong; the reader of the file adds where.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentspark.errors import DataError


def check_id(value: Mapping[str, Any]) -> str | int:
    """The line's ``id``, a string or a whole number."""
    found = value.get("id")
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise DataError("give an id (a string or a whole number).")
    check_text(str(found), "id")
    return found


def check_text(text: str, name: str) -> None:
    """``DataError`` for text that could be written nowhere: half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{name} holds text that is no Unicode ({error.reason}).") from error


def check_messages(value: object, where: str = "messages") -> list[dict[str, Any]]:
    """Return ``value`` if it is a non-empty list of role/content objects, else ``DataError``.

    Content is a string or a list of parts; a message that calls tools or holds reasoning may have
    none, as clients record it. ``where`` names the list. What a model can be given of it is known
    when it is encoded.
    """
    if not isinstance(value, list) or not value:
        raise DataError(f"{where} must be a non-empty list.")
    for place, message in enumerate(value):
        if not (
            isinstance(message, dict)
            and isinstance(message.get("role"), str)
            and _has_content(message)
        ):
            raise DataError(
                f"{where}[{place}] needs a string role, and content: a string or a list "
                "of text parts (or tool_calls instead)."
            )
    return value


def _has_content(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    if content is None:
        return bool(message.get("tool_calls") or message.get("reasoning_content"))
    return isinstance(content, str | list)
