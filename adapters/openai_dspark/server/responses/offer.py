"""The tools of a Responses request as functions that its chat can be offered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from openai_dspark.server.errors import ApiError
from openai_dspark.server.left_out import LeftOut
from openai_dspark.server.responses.spoken import ToolName
from openai_dspark.server.translated import Place
from openai_dspark.wire.other_tool import OtherTool
from openai_dspark.wire.response_tools import (
    AnyResponseTool,
    CustomTool,
    GrammarInput,
    NamespaceTool,
    ResponseNamedChoice,
    ResponseNamespaceChoice,
    ResponseTool,
    ResponseToolChoice,
)


@dataclass(slots=True)
class Offer:
    """What the model is offered: ``functions`` in a chat's shape, with the ``places`` of each.

    ``names`` are the tools by the functions' names, ``shown`` the tools as a response repeats them.
    """

    functions: list[dict[str, Any]] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    names: dict[str, ToolName] = field(default_factory=dict)
    shown: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, tools: Sequence[AnyResponseTool], left: LeftOut) -> Offer:
        """All of ``tools`` but those that are ``left`` out; ``ApiError`` names one that is not."""
        made = cls()
        for index, tool in enumerate(tools):
            where = f"tools[{index}]"
            if isinstance(tool, NamespaceTool):
                made._add_namespace(tool, where, left)
            elif made._add(tool, None, where, left):
                made.shown.append(_json(tool))
        return made

    def name(self, spoken: str) -> ToolName:
        """The tool that the model calls ``spoken``."""
        return self.names.get(spoken) or ToolName(spoken)

    def choice(self, choice: ResponseToolChoice | None, left: LeftOut) -> Any:
        """``choice`` in a chat's shape; ``ApiError`` where it names no tool."""
        if choice is None or isinstance(choice, str):
            return choice
        if isinstance(choice, ResponseNamedChoice):
            return _function(self._named(choice, "tool_choice"))
        found: list[str] = []
        for index, one in enumerate(choice.tools):
            found += self._allowed(one, f"tool_choice.tools[{index}]", left)
        if not found:
            param = "tool_choice.tools"
            raise ApiError(400, f"{param}: none of them is offered.", param=param)
        functions = [_function(name) for name in dict.fromkeys(found)]
        allowed = {"mode": choice.mode, "tools": functions}
        return {"type": "allowed_tools", "allowed_tools": allowed}

    def _add_namespace(self, group: NamespaceTool, where: str, left: LeftOut) -> None:
        first, shown = len(self.functions), []
        for index, tool in enumerate(group.tools):
            if self._add(tool, group.name, f"{where}.tools[{index}]", left):
                shown.append(_json(tool))
        if not shown:
            return
        self.shown.append({**_json(group), "tools": shown})
        if group.description:
            # Chats have no place for it but their functions' descriptions: once is enough.
            prefix = ToolName("x", group.name).spoken.removesuffix("x")
            function = self.functions[first]["function"]
            own = function.get("description") or ""
            function["description"] = f"[{prefix}*: {group.description}]\n{own}".strip()

    def _add(
        self,
        tool: ResponseTool | CustomTool | OtherTool,
        group: str | None,
        where: str,
        left: LeftOut,
    ) -> bool:
        """Offer ``tool``; whether it can be."""
        if isinstance(tool, OtherTool):
            left.add(tool.type, f"{where}.type")
            return False
        custom = isinstance(tool, CustomTool)
        fields = {"parameters": f"{where}.format.definition"} if custom else {}
        if isinstance(tool, CustomTool):
            parameters = _input_schema(tool, where, left)
            if parameters is None:
                return False
            function = {"description": tool.description, "parameters": parameters}
        else:
            function = {key: value for key, value in tool.as_sent().items() if key != "type"}
        name = ToolName(tool.name, group, custom)
        self.functions.append({"type": "function", "function": {**function, "name": name.spoken}})
        self.places.append(Place(where, fields))
        self.names.setdefault(name.spoken, name)
        return True

    def _allowed(self, one: Any, where: str, left: LeftOut) -> list[str]:
        if isinstance(one, OtherTool):
            left.add(one.type, f"{where}.type")
            return []
        if isinstance(one, ResponseNamespaceChoice):
            found = [key for key, name in self.names.items() if name.namespace == one.name]
            if not found:
                text = f"{where}: there is no namespace {one.name!r} among the tools."
                raise ApiError(400, text, param=where)
            return found
        return [self._named(one, where)]

    def _named(self, choice: ResponseNamedChoice, where: str) -> str:
        custom = choice.type == "custom"
        found = [
            (name.namespace, key)
            for key, name in self.names.items()
            if (name.name, name.custom) == (choice.name, custom)
            and choice.namespace in (None, name.namespace)
        ]
        alone = [key for group, key in found if group is None] or [key for _, key in found]
        if len(alone) == 1:
            return alone[0]
        problem = "is not among the tools"
        if alone:
            problem = "is in several namespaces: say in which, as its namespace"
        raise ApiError(400, f"{where} names {choice.name!r}, which {problem}.", param=where)


def _input_schema(tool: CustomTool, where: str, left: LeftOut) -> dict[str, Any] | None:
    """The schema of the arguments that stand for an input; ``None`` if the tool is left out."""
    text: dict[str, Any] = {"type": "string"}
    if isinstance(tool.format, GrammarInput):
        if tool.format.syntax == "lark":
            left.add("custom", f"{where}.format.syntax", "lark")
            return None
        text["pattern"] = f"^(?:{tool.format.definition})$"
    return {
        "type": "object",
        "properties": {"input": text},
        "required": ["input"],
        "additionalProperties": False,
    }


def _function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def _json(tool: Any) -> dict[str, Any]:
    shown: dict[str, Any] = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
    return shown
