"""The two kinds of JSON objects: strict ones that come in, open ones that go out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


class Body(BaseModel):
    """A part of a request. Types are strict, and nothing is accepted and ignored.

    A field that is not known here is refused unless its value asks for nothing (``null``,
    ``false``, empty): clients send those for what they leave alone.
    """

    model_config = ConfigDict(
        strict=True,
        extra="allow",
        allow_inf_nan=False,
        protected_namespaces=(),
        json_schema_extra={"additionalProperties": False},
    )

    # What to use for fields that other servers have, or had.
    instead: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="after")
    def _nothing_is_ignored(self) -> Self:
        for name, value in (self.model_extra or {}).items():
            if value is not None and value is not False and value not in ("", [], {}):
                other = self.instead.get(name)
                raise PydanticCustomError(
                    "unknown_parameter",
                    "{parameter} is not supported: {advice}",
                    {"parameter": name, "advice": f"use {other}" if other else "leave it out"},
                )
        return self

    def as_sent(self) -> dict[str, Any]:
        """The part as the JSON object it was."""
        return self.model_dump(by_alias=True, exclude_unset=True)


class Reply(BaseModel):
    """A part of a response. Fields that were never set are not sent; other servers' are kept."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    def to_json(self) -> bytes:
        """The object as it is sent."""
        return self.model_dump_json(exclude_unset=True).encode()

    def to_dict(self) -> dict[str, Any]:
        """The object as JSON values."""
        return self.model_dump(mode="json", exclude_unset=True)
