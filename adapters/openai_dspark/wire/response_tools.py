"""The tools of a Responses request, and the choice among them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from agentspark.models.tools.tool import MAX_TOOLS
from openai_dspark.wire.body import Body
from openai_dspark.wire.other_tool import OtherTool, kind_of


class ResponseTool(Body):
    """A function, in this API's flat shape."""

    type: Literal["function"]
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class AnyInput(Body):
    """Any text."""

    type: Literal["text"]


class GrammarInput(Body):
    """Text of a grammar: ``definition`` is a pattern in Rust's syntax, or a grammar of Lark."""

    type: Literal["grammar"]
    syntax: Literal["lark", "regex"]
    definition: str = Field(min_length=1)


class CustomTool(Body):
    """A tool whose input is a text instead of JSON."""

    type: Literal["custom"]
    name: str
    description: str | None = None
    format: Annotated[AnyInput | GrammarInput, Field(discriminator="type")] | None = None


_Own = (
    Annotated[ResponseTool, Tag("<function>")]
    | Annotated[CustomTool, Tag("<custom>")]
    | Annotated[OtherTool, Tag("<other>")]
)
_OwnTool = Annotated[_Own, Discriminator(lambda value: kind_of(value, ("function", "custom")))]
Namespace = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class NamespaceTool(Body):
    """Tools under a shared name; calls of them say it."""

    type: Literal["namespace"]
    name: Namespace
    description: str | None = None
    tools: list[_OwnTool] = Field(min_length=1, max_length=MAX_TOOLS)


AnyResponseTool = Annotated[
    _Own | Annotated[NamespaceTool, Tag("<namespace>")],
    Discriminator(lambda value: kind_of(value, ("function", "custom", "namespace"))),
]


class ResponseNamedChoice(Body):
    """The choice of one tool; ``namespace`` says of which, where several have that name."""

    type: Literal["function", "custom"]
    name: str
    namespace: str | None = None


class ResponseNamespaceChoice(Body):
    """All tools of a namespace."""

    type: Literal["namespace"]
    name: str


ResponseAllowed = Annotated[
    Annotated[ResponseNamedChoice, Tag("<named>")]
    | Annotated[ResponseNamespaceChoice, Tag("<namespace>")]
    | Annotated[OtherTool, Tag("<other>")],
    Discriminator(
        lambda value: {"<function>": "<named>", "<custom>": "<named>"}.get(
            kind := kind_of(value, ("function", "custom", "namespace")), kind
        )
    ),
]


class ResponseAllowedChoice(Body):
    """The choice among some of the tools; the prompt shows all of them."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: list[ResponseAllowed] = Field(min_length=1, max_length=MAX_TOOLS)


_Chosen = Annotated[
    Annotated[ResponseNamedChoice, Tag("<named>")]
    | Annotated[ResponseAllowedChoice, Tag("<allowed>")],
    Discriminator(
        lambda value: {"<allowed_tools>": "<allowed>"}.get(
            kind_of(value, ("function", "custom", "allowed_tools")), "<named>"
        )
    ),
]
ResponseToolChoice = Literal["none", "auto", "required"] | _Chosen
