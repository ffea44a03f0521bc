"""Tokens that a response counts."""

from __future__ import annotations

from openai_dspark.wire.body import Reply


class PromptDetails(Reply):
    """Of the prompt's tokens, those that came from the prefix cache."""

    cached_tokens: int | None = None


class CompletionDetails(Reply):
    """Of the output's tokens, those of reasoning; and how the request's ``prediction`` fared."""

    reasoning_tokens: int | None = None
    accepted_prediction_tokens: int | None = None
    rejected_prediction_tokens: int | None = None


class Usage(Reply):
    """Tokens of one response: the prompt once, all choices."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
