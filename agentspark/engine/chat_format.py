"""What the answer to a chat may be: which tools may be called, which format it must have."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentspark.engine.grammar.constraint import Constraint
from agentspark.errors import InvalidRequestError
from agentspark.models.tools.choice import NO_CALLS, ToolChoice, read_choice
from agentspark.models.tools.tool import Tool, read_tools

_FORMAT_FIELDS = frozenset(("name", "description", "schema", "strict"))
# What a template gets from the engine itself.
_TAKEN = frozenset(("messages", "tools", "add_generation_prompt", "tokenize", "chat_template"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatFormat:
    """What a chat's answer may be; make it with ``of`` from an API's fields.

    ``wanted`` is what an answer that is no tool call must look like. ``parallel``: whether an
    answer may make several calls; ``None`` leaves it to what the model was trained for (some, such
    as Llama 3, make one at a time whatever is asked for).
    ``template_args`` is JSON text: further arguments of the chat template.
    """

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = NO_CALLS
    parallel: bool | None = None
    wanted: Constraint | None = None
    template_args: str = "{}"

    @classmethod
    def of(
        cls,
        *,
        tools: object = None,
        tool_choice: object = None,
        parallel_tool_calls: bool | None = None,
        response_format: object = None,
        json_schema: object = None,
        regex: str | None = None,
        choice: object = None,
        grammar: str | None = None,
        template_args: Mapping[str, Any] | None = None,
    ) -> ChatFormat:
        """Read OpenAI's fields, and ours: those of ``Constraint``, and ``template_args``.

        At most one of ``response_format``, ``json_schema``, ``regex``, ``choice`` (a list) and
        ``grammar`` may say what the answer must look like. Raises ``InvalidRequestError`` naming
        the field that cannot be served.
        """
        known = read_tools(tools) if tools is not None else ()
        if parallel_tool_calls is not None and not isinstance(parallel_tool_calls, bool):
            raise _bad("must be true or false", "parallel_tool_calls")
        wanted = [
            _response_format(response_format),
            None
            if json_schema is None
            else Constraint.json_schema(json_schema, param="json_schema"),
            None if regex is None else Constraint.regex(regex),
            None if choice is None else Constraint.choice(choice),  # type: ignore[arg-type]
            None if grammar is None else Constraint.grammar(grammar),
        ]
        given = [constraint for constraint in wanted if constraint is not None]
        if len(given) > 1:
            raise _bad("cannot be combined with another format of the answer", given[-1].param)
        return cls(
            tools=known,
            choice=read_choice(tool_choice, known),
            parallel=parallel_tool_calls,
            wanted=given[0] if given else None,
            template_args=_template_args(template_args),
        )

    @property
    def callable_tools(self) -> tuple[Tool, ...]:
        """The tools that an answer may call."""
        return tuple(tool for tool in self.tools if self.choice.allows(tool))


def _response_format(given: object) -> Constraint | None:
    if given is None:
        return None
    kind = given.get("type") if isinstance(given, Mapping) else None
    if not isinstance(given, Mapping) or kind not in ("text", "json_object", "json_schema"):
        raise _bad(
            "must be {'type': 'text'}, {'type': 'json_object'} or {'type': 'json_schema', "
            "'json_schema': {'name', 'schema'}}",
            "response_format",
        )
    if kind == "text":
        return None
    if kind == "json_object":
        return Constraint.json_object()
    told = given.get("json_schema")
    where = "response_format.json_schema"
    if not isinstance(told, Mapping) or "schema" not in told:
        raise _bad("must be {'name', 'schema'}", where)
    for name in sorted(set(told) - _FORMAT_FIELDS, key=str):
        raise _bad("is not known", f"{where}.{name}")
    strict = told.get("strict")
    if strict is not None and not isinstance(strict, bool):
        raise _bad("must be true or false", f"{where}.strict")
    return Constraint.json_schema(told["schema"], strict=strict, param=f"{where}.schema")


def _template_args(given: Mapping[str, Any] | None) -> str:
    if given is None:
        return "{}"
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise _bad("must be an object", "template_args")
    for name in sorted(_TAKEN & set(given)):
        raise _bad("is set by the request itself", f"template_args.{name}")
    try:
        return json.dumps(dict(given), sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise _bad(f"is no JSON ({error})", "template_args") from error


def _bad(problem: str, param: str) -> InvalidRequestError:
    return InvalidRequestError(f"{param} {problem}.", param=param)
