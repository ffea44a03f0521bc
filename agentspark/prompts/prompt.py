"""One line of a prompts file: what is asked, and in which words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentspark.errors import DataError
from agentspark.prompts.asked import CHAT_FIELDS, Asked, read_asked
from agentspark.prompts.fields import check_id, check_messages, check_text
from agentspark.prompts.lines import Place

# The kind of a prompt whose line names none.
UNKNOWN_KIND = "unknown"
_FIELDS = ("id", "messages", "prompt_token_ids")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt: chat messages, or token ids where they were made already.

    ``place`` is the line it was read from, if it was, and ``asked`` what that says beside the
    words. ``numbered``: the line's id is a whole number, which ``id`` is the text of.
    """

    id: str
    kind: str
    messages: list[dict[str, Any]] | None
    token_ids: list[int] | None
    place: Place | None = None
    asked: Asked = field(default_factory=Asked)
    numbered: bool = False

    @property
    def line_id(self) -> str | int:
        """The id as its line has it."""
        return int(self.id) if self.numbered else self.id

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return repr(self.id) if self.place is None else f"{self.id!r} ({self.place.short})"

    @property
    def digest(self) -> str:
        """A short hash of what the prompt's tokens are made from, whatever it is called."""
        parts: list[object] = [self.messages, self.token_ids]
        chat = self.asked.chat
        if chat is not None and chat.tools:
            parts.append({"tools": [tool.to_openai() for tool in chat.tools]})
        if chat is not None and chat.template_args != "{}":
            parts.append({"template_args": chat.template_args})
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def parse_prompt(value: Mapping[str, Any], place: Place) -> Prompt:
    """Read a line's object.

    It is ``{"id", "messages"}`` or ``{"id", "prompt_token_ids"}``, with an optional ``kind`` of
    work and the fields that ``read_asked`` reads. Raises ``DataError``, which says what is wrong
    and not where.
    """
    found = check_id(value)
    kind = str(value.get("kind") or UNKNOWN_KIND)
    check_text(kind, "kind")
    messages, ids = value.get("messages"), value.get("prompt_token_ids")
    if (messages is None) == (ids is None):
        raise DataError("give either messages or prompt_token_ids.")
    asked = read_asked(value, _FIELDS, str(place))
    if messages is not None:
        messages = check_messages(messages)
    else:
        _check_token_ids(value)
    return Prompt(str(found), kind, messages, ids, place, asked, numbered=isinstance(found, int))


def _check_token_ids(value: Mapping[str, Any]) -> None:
    for name in CHAT_FIELDS:
        if value.get(name) is not None:
            raise DataError(f"{name} goes with messages only.")
    ids = value["prompt_token_ids"]
    if not (isinstance(ids, list) and ids and all(type(token) is int for token in ids)):
        raise DataError("prompt_token_ids must be a non-empty list of whole numbers.")
