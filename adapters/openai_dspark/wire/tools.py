"""Tools a chat may call, the choice among them, and the calls."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from agentspark.models.tools.tool import MAX_TOOLS
from openai_dspark.wire.body import Body
from openai_dspark.wire.other_tool import OtherTool, kind_of


class Function(Body):
    """A function's name, what it does, and the JSON schema of its arguments."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Body):
    """A tool of the only kind that a chat can be offered."""

    type: Literal["function"]
    function: Function


AnyTool = Annotated[
    Annotated[Tool, Tag("<function>")] | Annotated[OtherTool, Tag("<other>")],
    Discriminator(lambda value: kind_of(value, ("function",))),
]


class FunctionName(Body):
    """A function by its name."""

    name: str


class NamedChoice(Body):
    """The choice of one function."""

    type: Literal["function"]
    function: FunctionName


class AllowedTools(Body):
    """Some of the tools, of which a call may or must be."""

    mode: Literal["auto", "required"]
    tools: list[NamedChoice] = Field(min_length=1, max_length=MAX_TOOLS)


class AllowedChoice(Body):
    """The choice among some of the tools; the prompt shows all of them."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


# By their type, so that an error is of the shape that was meant.
_Chosen = Annotated[NamedChoice | AllowedChoice, Field(discriminator="type")]
ToolChoice = Literal["none", "auto", "required"] | _Chosen


class CalledFunction(Body):
    """What was called: the arguments are JSON text."""

    name: str
    arguments: str
    parsed_arguments: Any = None  # the arguments again, as the openai client keeps them


class ToolCall(Body):
    """A call an assistant made earlier in the chat."""

    id: str = Field(min_length=1)
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None  # some clients replay streamed calls with their place
