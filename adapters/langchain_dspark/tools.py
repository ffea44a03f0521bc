"""Tools as LangChain's callers give them, in OpenAI's shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from agentspark.errors import InvalidRequestError

_PLAIN = frozenset(("auto", "none", "required"))


def tools_of(
    tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
    *,
    strict: bool | None = None,
) -> list[dict[str, Any]]:
    """Each tool as ``{"type": "function", "function": {...}}``."""
    return [convert_to_openai_tool(tool, strict=strict) for tool in tools]


def choice_of(
    choice: str | dict[str, Any] | bool | None, tools: Sequence[dict[str, Any]]
) -> str | dict[str, Any] | None:
    """OpenAI's ``tool_choice`` for LangChain's; ``InvalidRequestError`` for a tool not given."""
    if choice is None or isinstance(choice, dict):
        return choice or None
    if choice is False:
        return "auto" if tools else None
    if choice is True or choice == "any":
        return "required"
    if not isinstance(choice, str):
        raise InvalidRequestError(
            f"tool_choice={choice!r} cannot be used: give one tool's name, 'any', 'auto', 'none', "
            "a truth value or OpenAI's JSON.",
            param="tool_choice",
        )
    if choice in _PLAIN:
        return choice
    names = _names(tools)
    if choice not in names:
        raise InvalidRequestError(
            f"tool_choice={choice!r} is none of the tools: {', '.join(names) or 'there are none'}.",
            param="tool_choice",
        )
    return {"type": "function", "function": {"name": choice}}


def _names(tools: object) -> list[str]:
    """The names of ``tools``; whether these are tools at all, the engine or the server says."""
    listed = tools if isinstance(tools, list | tuple) else ()
    functions = [tool.get("function") for tool in listed if isinstance(tool, dict)]
    return [str(one["name"]) for one in functions if isinstance(one, dict) and "name" in one]
