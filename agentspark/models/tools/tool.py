"""A tool as a caller describes it, checked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agentspark.errors import InvalidRequestError

MAX_TOOLS = 128
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_FIELDS = frozenset(("name", "description", "parameters", "strict"))


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call. ``parameters`` is a JSON schema of an object, as JSON text.

    ``strict`` ``False``: keywords of the schema that a grammar cannot express are not enforced.
    """

    name: str
    description: str
    parameters: str
    strict: bool | None = None

    def to_openai(self) -> dict[str, Any]:
        """The shape that chat templates take."""
        function = {"name": self.name, "description": self.description}
        return {
            "type": "function",
            "function": {**function, "parameters": json.loads(self.parameters)},
        }


def read_tools(tools: object) -> tuple[Tool, ...]:
    """Tools in OpenAI's shape. Raises ``InvalidRequestError`` naming the first wrong field."""
    if isinstance(tools, (str, bytes)) or not isinstance(tools, Sequence):
        raise _bad("must be a list of tools", "tools")
    if len(tools) > MAX_TOOLS:
        raise _bad(f"has {len(tools)} tools and at most {MAX_TOOLS} are taken", "tools")
    found = tuple(_read_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools))
    names = [tool.name for tool in found]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise _bad(f"names {name!r} a second time", f"tools[{index}].function.name")
    return found


def _read_tool(tool: object, where: str) -> Tool:
    if not isinstance(tool, Mapping) or tool.get("type") != "function":
        raise _bad("must be {'type': 'function', 'function': {...}}", where)
    function = tool.get("function")
    if not isinstance(function, Mapping):
        raise _bad("must be an object", f"{where}.function")
    unknown = sorted(set(function) - _FIELDS, key=str)
    if unknown:
        raise _bad("is not known", f"{where}.function.{unknown[0]}")
    name, description = function.get("name"), function.get("description")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _bad("must be 1 to 64 letters, digits, '_' or '-'", f"{where}.function.name")
    if description is not None and not isinstance(description, str):
        raise _bad("must be a text", f"{where}.function.description")
    strict = function.get("strict")
    if strict is not None and not isinstance(strict, bool):
        raise _bad("must be true or false", f"{where}.function.strict")
    parameters = _parameters(function.get("parameters"), f"{where}.function.parameters")
    return Tool(name, description or "", parameters, strict)


def _parameters(schema: object, where: str) -> str:
    if schema is None:
        schema = {"type": "object", "properties": {}}
    if not isinstance(schema, Mapping) or schema.get("type", "object") != "object":
        raise _bad("must be the JSON schema of an object", where)
    try:
        text = json.dumps({"type": "object", **schema}, ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise _bad(f"is no JSON ({error})", where) from error
    return text


def _bad(problem: str, param: str) -> InvalidRequestError:
    return InvalidRequestError(f"{param} {problem}.", param=param)
