"""The items of a Responses request's input: messages, calls, their outputs, reasoning."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag, field_validator
from pydantic_core import PydanticCustomError

from openai_dspark.wire.body import Body

ITEMS = (
    "message",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "reasoning",
)
_TEXTS = ("input_text", "output_text", "text")


class InputPart(Body):
    """One part of a message's content; annotations and the like of replayed parts are empty."""

    type: Literal["input_text", "output_text", "text"]
    text: str
    logprobs: list[Any] | None = None  # of an answer that is given back as it was

    @field_validator("type", mode="before")
    @classmethod
    def _only_text(cls, value: Any) -> Any:
        if isinstance(value, str) and value not in _TEXTS:
            raise PydanticCustomError(
                "unsupported_content",
                "content of type '{kind}' cannot be read: this model reads text only",
                {"kind": value},
            )
        return value


InputText = str | list[InputPart]


def plain(text: InputText) -> str:
    """The text as one string."""
    return text if isinstance(text, str) else "".join(part.text for part in text)


class MessageItem(Body):
    """A message; those of the assistant may be outputs given back as they were."""

    type: Literal["message"] | None = None
    role: Literal["user", "system", "developer", "assistant"]
    content: InputText
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


class CallItem(Body):
    """A call that the model made, with the namespace of the function if it is in one."""

    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str
    namespace: str | None = None
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


class CustomCallItem(Body):
    """A call of a tool that takes a text."""

    type: Literal["custom_tool_call"]
    call_id: str
    name: str
    input: str
    namespace: str | None = None
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


class CallOutputItem(Body):
    """What came of a call."""

    type: Literal["function_call_output", "custom_tool_call_output"]
    call_id: str
    output: InputText
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


class ReasoningPart(Body):
    """A part of what the model thought."""

    type: Literal["reasoning_text", "summary_text"]
    text: str


class ReasoningItem(Body):
    """What the model thought before its next item."""

    type: Literal["reasoning"]
    summary: list[ReasoningPart] | None = None
    content: list[ReasoningPart] | None = None
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


def _kind(value: Any) -> str | None:
    """The tag of a branch: no field is called so, and errors' locations have both."""
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    if kind is None:
        return "<message>"
    if kind == "custom_tool_call_output":
        return "<function_call_output>"
    return f"<{kind}>" if kind in ITEMS else None


Item = Annotated[
    Annotated[MessageItem, Tag("<message>")]
    | Annotated[CallItem, Tag("<function_call>")]
    | Annotated[CallOutputItem, Tag("<function_call_output>")]
    | Annotated[CustomCallItem, Tag("<custom_tool_call>")]
    | Annotated[ReasoningItem, Tag("<reasoning>")],
    Discriminator(
        _kind,
        custom_error_type="unknown_item",
        custom_error_message=f"an item's type must be one of {', '.join(ITEMS)}",
    ),
]
