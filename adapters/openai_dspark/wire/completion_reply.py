"""The continuation of a prompt, whole or as a piece of a stream."""

from __future__ import annotations

from typing import Literal

from openai_dspark.wire.body import Reply
from openai_dspark.wire.logprobs import ChatLogprobs, CompletionLogprobs
from openai_dspark.wire.metrics import Metrics
from openai_dspark.wire.usage import Usage


class CompletionChoice(Reply):
    """One continuation; choices go by prompt, then by ``n``.

    llama.cpp gives log-probabilities in the shape of chats here too, and transformers' server
    leaves out what is ``None``.
    """

    index: int
    text: str
    finish_reason: str | None = None
    logprobs: CompletionLogprobs | ChatLogprobs | None = None


class TextCompletion(Reply):
    """All continuations, or news of one of them."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
    metrics: Metrics | None = None
    system_fingerprint: str | None = None
