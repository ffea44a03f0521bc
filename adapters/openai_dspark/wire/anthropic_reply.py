"""What ``/v1/messages`` answers."""

from __future__ import annotations

from typing import Any, Literal

from openai_dspark.wire.body import Reply
from openai_dspark.wire.metrics import Metrics

StopReason = Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]


class SaidText(Reply):
    """A text."""

    type: Literal["text"]
    text: str


class SaidThinking(Reply):
    """A thought, read again as it is: nothing is signed. One not to be shown is the signature."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class SaidToolUse(Reply):
    """A call."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


SaidBlock = SaidText | SaidThinking | SaidToolUse


class AnthropicUsage(Reply):
    """Tokens: those of the prompt that were computed, those found in the cache, and the answer's.

    What is left in the cache costs nothing, so that none are counted as written.
    """

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int


class AnthropicAnswer(Reply):
    """The model's turn; ``stop_reason`` is ``None`` until it is over."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[SaidBlock]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: AnthropicUsage
    metrics: Metrics | None = None


class TokensCounted(Reply):
    """How long a prompt is."""

    input_tokens: int
