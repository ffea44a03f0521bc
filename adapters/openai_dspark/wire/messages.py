"""The messages of a chat, by role."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from openai_dspark.wire.body import Body
from openai_dspark.wire.text import Text, plain
from openai_dspark.wire.tools import CalledFunction, ToolCall

ROLES = ("system", "developer", "user", "assistant", "tool")


class Instruction(Body):
    """What the system or the developer says; templates know one such role only."""

    role: Literal["system", "developer"]
    content: Text
    name: str | None = None

    def to_engine(self) -> dict[str, Any]:
        """The message as chat templates take it."""
        return _message("system", plain(self.content), name=self.name)


class UserMessage(Body):
    """What the user says."""

    role: Literal["user"]
    content: Text
    name: str | None = None

    def to_engine(self) -> dict[str, Any]:
        """The message as chat templates take it."""
        return _message("user", plain(self.content), name=self.name)


class AssistantMessage(Body):
    """What the model said before, its calls and its reasoning included."""

    role: Literal["assistant"]
    content: Text | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = Field(default=None, max_length=1024)
    reasoning_content: str | None = None
    parsed: Any = None  # the content again, as the openai client keeps it

    def to_engine(self) -> dict[str, Any]:
        """The message as chat templates take it."""
        calls = [
            {"id": call.id, "type": "function", "function": _called(call.function)}
            for call in self.tool_calls or ()
        ]
        content = None if self.content is None else plain(self.content)
        if content is None and not calls:
            content = ""
        return _message(
            "assistant",
            content,
            name=self.name,
            tool_calls=calls or None,
            reasoning_content=self.reasoning_content,
        )


class ToolMessage(Body):
    """What a tool answered."""

    role: Literal["tool"]
    content: Text
    tool_call_id: str
    name: str | None = None

    def to_engine(self) -> dict[str, Any]:
        """The message as chat templates take it."""
        return _message("tool", plain(self.content), name=self.name, tool_call_id=self.tool_call_id)


def _role(value: Any) -> str | None:
    """The tag of a branch: no field is called so, and errors' locations have both."""
    role = value.get("role") if isinstance(value, dict) else getattr(value, "role", None)
    if role == "developer":
        return "<system>"
    return f"<{role}>" if role in ROLES else None


Message = Annotated[
    Annotated[Instruction, Tag("<system>")]
    | Annotated[UserMessage, Tag("<user>")]
    | Annotated[AssistantMessage, Tag("<assistant>")]
    | Annotated[ToolMessage, Tag("<tool>")],
    Discriminator(
        _role,
        custom_error_type="unknown_role",
        custom_error_message=f"a message needs a role: one of {', '.join(ROLES)}",
    ),
]


def _called(function: CalledFunction) -> dict[str, Any]:
    return {"name": function.name, "arguments": function.arguments}


def _message(role: str, content: str | None, **more: Any) -> dict[str, Any]:
    given = {name: value for name, value in more.items() if value is not None}
    return {"role": role, "content": content, **given}
