"""What a text must look like: JSON of a schema, any JSON object, a pattern, one of some texts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from openai_dspark.wire.body import Body


class JsonSchema(Body):
    """A JSON schema with its name."""

    name: str | None = None
    description: str | None = None
    # "schema" is a method of pydantic's models.
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class TextFormat(Body):
    """Anything."""

    type: Literal["text"]


class JsonObjectFormat(Body):
    """Any JSON object."""

    type: Literal["json_object"]


class JsonSchemaFormat(Body):
    """JSON that a schema describes."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[
    TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")
]


class StructuredOutputs(Body):
    """An extension that vLLM has too: one way to say what a text must look like.

    ``json`` is a schema, or its text; ``grammar`` is one of Lark (llguidance's) or in GBNF.
    """

    json_schema: dict[str, Any] | str | None = Field(default=None, alias="json")
    json_object: bool | None = None
    regex: str | None = None
    choice: list[str] | None = Field(default=None, max_length=4096)
    grammar: str | None = None
