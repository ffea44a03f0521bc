"""Text as clients send it: a string, or a list of text parts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from openai_dspark.wire.body import Body
from openai_dspark.wire.cache_control import CacheControl


class TextPart(Body):
    """One part of a message's content."""

    type: Literal["text"]
    text: str
    cache_control: CacheControl | None = None

    @field_validator("type", mode="before")
    @classmethod
    def _only_text(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "text":
            raise PydanticCustomError(
                "unsupported_content",
                "content of type '{kind}' cannot be read: this model reads text only",
                {"kind": value},
            )
        return value


Text = str | list[TextPart]


def plain(text: Text) -> str:
    """The text as one string; parts are joined as they are."""
    return text if isinstance(text, str) else "".join(part.text for part in text)
