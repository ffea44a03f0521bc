"""Log-probabilities of tokens, as chats and as completions give them."""

from __future__ import annotations

from openai_dspark.wire.body import Reply


class TopLogprob(Reply):
    """A token that might have come; ``bytes`` are those of its text."""

    token: str
    logprob: float
    bytes: list[int] | None


class ChatLogprob(TopLogprob):
    """A token that came, and the likeliest ones in its place."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(Reply):
    """The tokens of an answer; its markup is among them."""

    content: list[ChatLogprob] | None
    refusal: list[ChatLogprob] | None = None


class CompletionLogprobs(Reply):
    """The same in the older shape: parallel lists."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]
