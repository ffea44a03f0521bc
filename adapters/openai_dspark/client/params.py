"""What a call may ask for beside its prompt: the API's fields, by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict


class GenerationParams(TypedDict, total=False):
    """Fields that chats and completions share; ``None`` leaves one to the server."""

    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    n: int | None
    max_tokens: int | None
    min_tokens: int | None
    stop: str | Sequence[str] | None
    seed: int | None
    presence_penalty: float | None
    frequency_penalty: float | None
    repetition_penalty: float | None
    logit_bias: Mapping[str, float] | None
    ignore_eos: bool | None
    user: str | None
    metadata: Mapping[str, str] | None
    cache_salt: str | None
    response_format: Mapping[str, Any] | None
    structured_outputs: Mapping[str, Any] | None
    agentspark: Mapping[str, Any] | None


class ChatParams(GenerationParams, total=False):
    """Fields of chats."""

    max_completion_tokens: int | None
    logprobs: bool | None
    top_logprobs: int | None
    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    parallel_tool_calls: bool | None
    prediction: Mapping[str, Any] | None
    reasoning_effort: str | None
    chat_template_kwargs: Mapping[str, Any] | None


class CompletionParams(GenerationParams, total=False):
    """Fields of completions."""

    logprobs: int | None
    echo: bool | None
