"""Which of a chat's tools a model may or must call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from agentspark.errors import InvalidRequestError
from agentspark.models.tools.tool import Tool

Mode = Literal["auto", "none", "required"]

_SHAPES = (
    "must be 'auto', 'none', 'required', {'type': 'function', 'function': {'name'}} or "
    "{'type': 'allowed_tools', 'allowed_tools': {'mode', 'tools'}}"
)


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """``mode`` says whether tools may, must or must not be called; ``names`` which alone, if any.

    The prompt shows all tools whatever the choice, so a step that allows fewer of them extends the
    prefix of the one before.
    """

    mode: Mode = "auto"
    names: frozenset[str] | None = None

    def allows(self, tool: Tool) -> bool:
        """Whether an answer may call ``tool``."""
        return self.mode != "none" and (self.names is None or tool.name in self.names)


NO_CALLS = ToolChoice("none")


def read_choice(choice: object, tools: Sequence[Tool]) -> ToolChoice:
    """``tool_choice`` in OpenAI's shape; ``None`` is ``auto`` where there are tools.

    Raises ``InvalidRequestError``.
    """
    if choice is None:
        return ToolChoice("auto" if tools else "none")
    if choice in ("auto", "none", "required"):
        if choice == "required" and not tools:
            raise _bad("is 'required' and there are no tools")
        return ToolChoice(choice if tools else "none")
    if not isinstance(choice, Mapping):
        raise _bad(_SHAPES)
    if choice.get("type", "function") == "function":
        return ToolChoice("required", frozenset((_name(choice, tools),)))
    allowed = choice.get("allowed_tools")
    if choice["type"] != "allowed_tools" or not isinstance(allowed, Mapping):
        raise _bad(_SHAPES)
    mode, named = allowed.get("mode"), allowed.get("tools")
    if mode not in ("auto", "required"):
        raise _bad("allows tools by the mode 'auto' or 'required'")
    if not isinstance(named, Sequence) or isinstance(named, str) or not named:
        raise _bad("allows a list of tools, of at least one")
    return ToolChoice(mode, frozenset(_name(one, tools) for one in named))


def _name(named: object, tools: Sequence[Tool]) -> str:
    """The name in ``{'type': 'function', 'function': {'name'}}``, one of the tools'."""
    function = named.get("function") if isinstance(named, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        raise _bad(_SHAPES)
    if name not in {tool.name for tool in tools}:
        raise _bad(f"names {name!r}, which is not among the tools")
    return name


def _bad(problem: str) -> InvalidRequestError:
    return InvalidRequestError(f"tool_choice {problem}.", param="tool_choice")
