"""The blocks of an Anthropic message: texts, calls, what tools answered, thoughts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from openai_dspark.wire.body import Body
from openai_dspark.wire.cache_control import CacheControl

BLOCKS = ("text", "thinking", "tool_use", "tool_result")


class TextBlock(Body):
    """A text."""

    type: Literal["text"]
    text: str
    cache_control: CacheControl | None = None


class ThinkingBlock(Body):
    """What the model thought, as it was given: in its signature, if it was omitted."""

    type: Literal["thinking"]
    thinking: str
    signature: str | None = None


class ToolUseBlock(Body):
    """A call that the model made."""

    type: Literal["tool_use"]
    id: str = Field(min_length=1)
    name: str
    input: dict[str, Any]
    cache_control: CacheControl | None = None


def _tag(value: Any) -> str | None:
    """The tag of a branch: no field is called so, and errors' locations have both."""
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"<{kind}>" if kind in BLOCKS else None


_ONLY = Discriminator(
    _tag,
    custom_error_type="unsupported_content",
    custom_error_message=f"only blocks of these types can be read: {', '.join(BLOCKS)}",
)

Texts = str | list[Annotated[Annotated[TextBlock, Tag("<text>")], _ONLY]]


class ToolResultBlock(Body):
    """What a tool answered to the call ``tool_use_id``."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: Texts | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


Block = Annotated[
    Annotated[TextBlock, Tag("<text>")]
    | Annotated[ThinkingBlock, Tag("<thinking>")]
    | Annotated[ToolUseBlock, Tag("<tool_use>")]
    | Annotated[ToolResultBlock, Tag("<tool_result>")],
    _ONLY,
]


def plain(texts: Texts | None, joint: str = "") -> str:
    """The texts as one, ``joint`` between them."""
    if texts is None or isinstance(texts, str):
        return texts or ""
    return joint.join(block.text for block in texts)
