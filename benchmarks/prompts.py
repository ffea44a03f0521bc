"""The prompts file: chats to answer, each with the kind of work it stands for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from agentspark.errors import DataError
from agentspark.models.chat import ChatTokenizer
from agentspark.prompts.files import iter_prompts
from agentspark.prompts.prompt import UNKNOWN_KIND
from agentspark.prompts.prompt import Prompt as Line


@dataclass(frozen=True, slots=True)
class Prompt:
    """One line of the file, also as token ids; ``kind`` is ``None`` where the line names none."""

    id: str
    kind: str | None
    token_ids: list[int]
    messages: list[dict[str, Any]] = field(default_factory=list)


def read_chats(path: Path) -> Iterator[Line]:
    """Yield the chats of a prompts file; ``DataError`` names the first wrong line.

    Every chat is asked the same here, so a line that asks for something itself is wrong too.
    """
    for line in iter_prompts(path):
        if line.messages is None or line.asked.sampling or line.asked.chat is not None:
            raise DataError(
                f"{line.place}: the measurements ask the same of every chat: give messages, "
                "without tools, formats or sampling of their own."
            )
        yield line


def read_prompts(path: Path, tokenizer: ChatTokenizer, limit: int | None = None) -> list[Prompt]:
    """The first ``limit`` prompts of ``{"id", "messages"[, "kind"]}`` lines.

    Raises ``DataError``, which names the first wrong line.
    """
    prompts = [
        Prompt(
            line.id,
            None if line.kind == UNKNOWN_KIND else line.kind,
            tokenizer.encode_chat(line.messages or []),
            line.messages or [],
        )
        for line in islice(read_chats(path), limit)
    ]
    if not prompts:
        raise DataError(f"{path} holds no prompts: write one JSON object a line.")
    return prompts
