"""The answer to a chat, piece by piece."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from openai_dspark.wire.body import Reply
from openai_dspark.wire.logprobs import ChatLogprobs
from openai_dspark.wire.metrics import Metrics
from openai_dspark.wire.reasoning import by_our_name
from openai_dspark.wire.usage import Usage


class FunctionDelta(Reply):
    """``name`` comes with a call's first delta, pieces of ``arguments`` with the later ones."""

    name: str | None = None
    arguments: str | None = None


class ToolCallDelta(Reply):
    """A piece of call number ``index``; ``id`` and ``type`` come with the first one."""

    index: int = 0  # some servers make one call at a time and do not number it
    id: str | None = None
    type: Literal["function"] | None = None
    function: FunctionDelta | None = None


class ChatDelta(Reply):
    """What is new in a choice; ``role`` comes first and alone."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallDelta] | None = None

    _reasoning = model_validator(mode="before")(by_our_name)


class ChunkChoice(Reply):
    """News of one choice; ``finish_reason`` comes with its last one."""

    index: int
    delta: ChatDelta
    finish_reason: str | None = None
    logprobs: ChatLogprobs | None = None


class ChatChunk(Reply):
    """One event of a stream. The last one has usage and metrics, if asked for, and no choice."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    metrics: Metrics | None = None
    system_fingerprint: str | None = None
