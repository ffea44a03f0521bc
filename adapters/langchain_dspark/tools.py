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
    if choice is None or choice is False or isinstance(choice, dict):
        return choice or None
    if choice is True or choice == "any":
        return "required"
    if choice in _PLAIN:
        return choice
    names = [tool["function"]["name"] for tool in tools if "function" in tool]
    if choice not in names:
        raise InvalidRequestError(
            f"tool_choice={choice!r} is none of the tools: {', '.join(names) or 'there are none'}.",
            param="tool_choice",
        )
    return {"type": "function", "function": {"name": choice}}
