"""Tools a chat may call, the choice among them, and the calls."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from openai_dspark.wire.body import Body


class Function(Body):
    """A function's name, what it does, and the JSON schema of its arguments."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Body):
    """A tool of the only kind there is."""

    type: Literal["function"]
    function: Function


class FunctionName(Body):
    """A function by its name."""

    name: str


class NamedChoice(Body):
    """The choice of one function."""

    type: Literal["function"]
    function: FunctionName


ToolChoice = Literal["none", "auto", "required"] | NamedChoice


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
