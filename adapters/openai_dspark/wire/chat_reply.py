"""The answer to a chat, whole."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from openai_dspark.wire.body import Reply
from openai_dspark.wire.logprobs import ChatLogprobs
from openai_dspark.wire.metrics import Metrics
from openai_dspark.wire.reasoning import by_our_name
from openai_dspark.wire.usage import Usage

ChatFinish = Literal["stop", "length", "tool_calls"]


class ReplyFunction(Reply):
    """A called function; the arguments are JSON text."""

    name: str
    arguments: str


class ReplyToolCall(Reply):
    """A call the model makes."""

    id: str
    type: Literal["function"]
    function: ReplyFunction


class ReplyMessage(Reply):
    """What the model says. ``content`` is ``None`` where it only calls tools."""

    role: Literal["assistant"]
    content: str | None = None
    refusal: None = None
    tool_calls: list[ReplyToolCall] | None = None
    reasoning_content: str | None = None

    _reasoning = model_validator(mode="before")(by_our_name)


class ChatChoice(Reply):
    """One of the ``n`` answers."""

    index: int
    message: ReplyMessage
    finish_reason: str
    logprobs: ChatLogprobs | None = None


class ChatCompletion(Reply):
    """All answers to one chat."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage | None = None
    metrics: Metrics | None = None
    system_fingerprint: str | None = None
