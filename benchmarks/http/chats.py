"""The prompts file as chats, which is what goes over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any

from benchmarks.bench import Settings
from benchmarks.prompts import read_chats as read_lines


@dataclass(frozen=True, slots=True)
class Chat:
    """One line of the file."""

    id: str
    messages: list[dict[str, Any]]


def read_chats(settings: Settings) -> list[Chat]:
    """The first ``limit`` chats; ``DataError`` names a wrong line.

    Chats with tool results are left out: the files do not say which call a result answers, and
    the protocol wants to know.
    """
    chats = (Chat(line.id, line.messages or []) for line in read_lines(settings.prompts))
    sendable = (
        chat for chat in chats if all(message["role"] != "tool" for message in chat.messages)
    )
    return list(islice(sendable, settings.limit))
