"""Tool calls as they are handed out, whole and in pieces."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call the model made; ``arguments`` is JSON text, exactly as it was generated."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a call. The first of a call has its ``id`` and ``name``, later ones arguments."""

    index: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(slots=True)
class AnswerDelta:
    """What is new of an answer: content, reasoning, pieces of calls."""

    content: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCallDelta] = field(default_factory=list)

    def add(self, more: AnswerDelta) -> None:
        """Append what came next."""
        self.content += more.content
        self.reasoning += more.reasoning
        self.tool_calls += more.tool_calls


def new_call_id() -> str:
    """An id that no other call has."""
    return f"call_{uuid.uuid4().hex[:24]}"


def said(content: str, calls: Sequence[tuple[str, str]]) -> str:
    """What a turn said, as one text that is the same however a client sends it back.

    ``calls`` are names and arguments (JSON text). White space around the content of a turn with
    calls and the way the arguments are written do not matter; ids do not either.
    """
    if not calls:
        return content
    told = [[name, canonical(arguments)] for name, arguments in calls]
    return json.dumps([content.strip(), told], ensure_ascii=False)


def canonical(arguments: str) -> str:
    """``arguments`` in the one way all equal JSON is written; as they are where they are none."""
    try:
        return json.dumps(json.loads(arguments), sort_keys=True, ensure_ascii=False)
    except (ValueError, RecursionError):
        return arguments
