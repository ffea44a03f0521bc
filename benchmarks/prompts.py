"""The prompts file: chats to answer, each with the kind of work it stands for."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from agentspark.cli.jsonl import check_messages, read_objects
from agentspark.cli.prompts import check_id
from agentspark.errors import DataError
from agentspark.models.chat import ChatTokenizer


@dataclass(frozen=True, slots=True)
class Prompt:
    """One line of the file, also as token ids; ``kind`` is ``None`` where the line names none."""

    id: str
    kind: str | None
    token_ids: list[int]
    messages: list[dict[str, Any]] = field(default_factory=list)


def read_prompts(path: Path, tokenizer: ChatTokenizer, limit: int | None = None) -> list[Prompt]:
    """The first ``limit`` prompts of ``{"id", "messages"[, "kind"]}`` lines.

    Raises ``DataError``, which names the first wrong line.
    """
    prompts: list[Prompt] = []
    seen: set[str] = set()
    for number, line in islice(read_objects(path), limit):
        where = f"{path} line {number}"
        ident = str(check_id(line, where))
        if ident in seen:
            raise DataError(f"{where}: id {ident!r} stands in an earlier line too.")
        seen.add(ident)
        kind = line.get("kind")
        if kind is not None and not isinstance(kind, str):
            raise DataError(f"{where}: kind must be a string.")
        messages = check_messages(line.get("messages"), where)
        prompts.append(Prompt(ident, kind, tokenizer.encode_chat(messages), messages))
    if not prompts:
        raise DataError(f"{path} holds no prompts: write one JSON object a line.")
    return prompts
