"""The prompts file of ``agentspark generate``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentspark.cli.jsonl import check_messages, read_objects
from agentspark.engine.chat_format import ChatFormat
from agentspark.errors import DataError, InvalidRequestError

_CHAT_FIELDS = (
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "response_format",
    "regex",
    "choice",
    "template_args",
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One line: an id, and either chat messages or prompt token ids.

    ``chat`` is what the line asks of the answer to its messages.
    """

    id: str | int
    line: int
    messages: list[dict[str, Any]] | None = None
    token_ids: list[int] | None = None
    chat: ChatFormat | None = None


def read_prompts(path: Path) -> list[Prompt]:
    """Read the whole file before anything runs; ``DataError`` names the first wrong line."""
    prompts: list[Prompt] = []
    seen: dict[str | int, int] = {}
    for number, value in read_objects(path):
        where = f"{path} line {number}"
        prompt = _prompt(value, number, where)
        if prompt.id in seen:
            raise DataError(f"{where}: id {prompt.id!r} stands in line {seen[prompt.id]} too.")
        seen[prompt.id] = number
        prompts.append(prompt)
    if not prompts:
        raise DataError(f"{path} holds no prompts: write one JSON object a line.")
    return prompts


def check_id(value: dict[str, Any], where: str) -> str | int:
    """The line's ``id``, a string or a whole number."""
    found = value.get("id")
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise DataError(f"{where}: give an id (a string or a whole number).")
    return found


def _prompt(value: dict[str, Any], number: int, where: str) -> Prompt:
    ident = check_id(value, where)
    messages, ids = value.get("messages"), value.get("prompt_token_ids")
    if (messages is None) == (ids is None):
        raise DataError(f"{where}: give either messages or prompt_token_ids.")
    if messages is not None:
        chat = _chat_format(value, where)
        return Prompt(ident, number, messages=check_messages(messages, where), chat=chat)
    for name in _CHAT_FIELDS:
        if name in value:
            raise DataError(f"{where}: {name} goes with messages only.")
    if not (isinstance(ids, list) and ids and all(type(token) is int for token in ids)):
        raise DataError(f"{where}: prompt_token_ids must be a non-empty list of whole numbers.")
    return Prompt(ident, number, token_ids=ids)


def _chat_format(value: dict[str, Any], where: str) -> ChatFormat | None:
    asked = {name: value[name] for name in _CHAT_FIELDS if value.get(name) is not None}
    try:
        return ChatFormat.of(**asked) if asked else None
    except InvalidRequestError as error:
        raise DataError(f"{where}: {error}") from error
