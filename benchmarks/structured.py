"""Requests with a random schema or random tools, the same ones every time."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agentspark.engine.chat_format import ChatFormat
from agentspark.engine.result import Completion
from benchmarks.prompts import Prompt
from benchmarks.random_schemas import random_schema, random_tools

# Enough for whatever a schema needs; most answers take a fraction.
MAX_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Case:
    """A chat that must be answered by JSON of a ``schema``, or by a call of one of ``tools``."""

    id: str
    messages: list[dict[str, Any]]
    schema: dict[str, Any] | None
    tools: tuple[dict[str, Any], ...] = ()

    @property
    def chat(self) -> ChatFormat:
        """What is asked of the answer."""
        if self.schema is None:
            return ChatFormat.of(tools=self.tools, tool_choice="required")
        told = {"name": "answer", "schema": self.schema}
        return ChatFormat.of(response_format={"type": "json_schema", "json_schema": told})

    def valid(self, done: Completion) -> bool:
        """Whether an answer is what was asked for, by a validator that knows no grammar."""
        if self.schema is not None:
            return _validates(done.content, self.schema)
        named = {tool["function"]["name"]: tool["function"]["parameters"] for tool in self.tools}
        return bool(done.tool_calls) and all(
            call.name in named and _validates(call.arguments, named[call.name])
            for call in done.tool_calls
        )


def cases(prompts: list[Prompt], count: int) -> Iterator[Case]:
    """``count`` cases over ``prompts`` in turn, every third one with tools."""
    for index in range(count):
        rng = random.Random(index)
        prompt = prompts[index % len(prompts)]
        tools = tuple(random_tools(rng)) if index % 3 == 2 else ()
        schema = None if tools else random_schema(rng)
        yield Case(f"{prompt.id}/{index}", list(prompt.messages), schema, tools)


def _validates(text: str, schema: dict[str, Any]) -> bool:
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    try:
        value = json.loads(text)
    except ValueError:
        return False
    checker = Draft202012Validator.FORMAT_CHECKER
    return bool(Draft202012Validator(schema, format_checker=checker).is_valid(value))
