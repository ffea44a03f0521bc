"""The prompts file of ``agentspark generate``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentspark.cli.asked import CHAT_FIELDS, Asked, read_asked
from agentspark.cli.jsonl import check_messages, read_objects
from agentspark.errors import DataError

_FIELDS = ("id", "messages", "prompt_token_ids")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One line: an id, either chat messages or prompt token ids, and what it asks of the answer."""

    id: str | int
    line: int
    messages: list[dict[str, Any]] | None = None
    token_ids: list[int] | None = None
    asked: Asked = field(default_factory=Asked)


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
    asked = read_asked(value, _FIELDS, where)
    if messages is not None:
        return Prompt(ident, number, messages=check_messages(messages, where), asked=asked)
    for name in CHAT_FIELDS:
        if name in value:
            raise DataError(f"{where}: {name} goes with messages only.")
    if not (isinstance(ids, list) and ids and all(type(token) is int for token in ids)):
        raise DataError(f"{where}: prompt_token_ids must be a non-empty list of whole numbers.")
    return Prompt(ident, number, token_ids=ids, asked=asked)
