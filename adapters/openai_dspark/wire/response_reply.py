"""A response, its items and its usage."""

from __future__ import annotations

from typing import Any, Literal

from openai_dspark.wire.body import Reply
from openai_dspark.wire.logprobs import ChatLogprob
from openai_dspark.wire.metrics import Metrics

Status = Literal["in_progress", "completed", "incomplete", "failed"]


class OutputText(Reply):
    """The text of a message. As in chats, ``logprobs`` may have an answer's thoughts and markup."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[ChatLogprob]


class OutputMessage(Reply):
    """What the model says."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: Status
    content: list[OutputText]


class OutputCall(Reply):
    """A call the model makes, with the namespace of the function if it is in one."""

    id: str
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    status: Status
    namespace: str | None = None


class OutputCustomCall(Reply):
    """A call of a tool that takes a text."""

    id: str
    type: Literal["custom_tool_call"]
    call_id: str
    name: str
    input: str
    status: Status
    namespace: str | None = None


class ReasoningText(Reply):
    """The text of a reasoning item."""

    type: Literal["reasoning_text"]
    text: str


class OutputReasoning(Reply):
    """What the model thought."""

    id: str
    type: Literal["reasoning"]
    summary: list[Any]
    content: list[ReasoningText]
    status: Status


OutputItem = OutputMessage | OutputCall | OutputCustomCall | OutputReasoning


class InputDetails(Reply):
    """Of the input's tokens, those that came from the prefix cache, and those left in it."""

    cached_tokens: int
    cache_write_tokens: int


class OutputDetails(Reply):
    """Of the output's tokens, those of reasoning."""

    reasoning_tokens: int


class ResponseUsage(Reply):
    """Tokens of one response."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class Incomplete(Reply):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens"]


class Response(Reply):
    """A response, as far as it is known; fields of the request are repeated."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Status
    error: None
    incomplete_details: Incomplete | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputItem]
    parallel_tool_calls: bool
    previous_response_id: None
    reasoning: dict[str, Any]
    store: Literal[False]
    temperature: float
    text: dict[str, Any]
    tool_choice: Any
    tools: list[Any]
    top_logprobs: int
    top_p: float
    truncation: Literal["disabled"]
    usage: ResponseUsage | None
    metrics: Metrics | None = None


class InputCounted(Reply):
    """How long a prompt is."""

    input_tokens: int
    object: Literal["response.input_tokens"]
