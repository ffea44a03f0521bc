"""Tells whole answers from ones that were cut off, whose JSON LangChain's parsers would complete.

They are made for streams: of ``{"a": 12, "b": 3`` they read both fields, of ``{"a": 1`` the first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_dspark.chunk import CUT, DECODER, arguments_of

Check = Callable[[AIMessage], None]

_FENCE = re.compile(r"```(?:json)?(.*)", re.DOTALL)


def check_text(message: AIMessage) -> None:
    """Raise ``OutputParserException`` where the text holds no JSON value to its end.

    The value may stand in a fence, and text may follow it.
    """
    text = message.text.strip()
    fence = None if text.startswith(("{", "[")) else _FENCE.search(text)
    value = text if fence is None else fence[1].strip()
    try:
        found, end = DECODER.raw_decode(value)
    except ValueError as error:
        raise _failed(message, "The answer is no whole JSON", text) from error
    number = isinstance(found, int | float) and not isinstance(found, bool)
    if number and _is_cut(message) and end == len(value):
        # Of 12 as much is there of 123: only of a number is every start one, too.
        raise _failed(message, "The answer is perhaps no whole number", text)


@dataclass(frozen=True, slots=True)
class CheckCall:
    """A check that raises ``OutputParserException`` where no whole call of ``name`` is made.

    ``required`` are the arguments that it must have.
    """

    name: str
    required: frozenset[str]

    def __call__(self, message: AIMessage) -> None:
        """Check ``message``."""
        for called, arguments in _calls(message):
            if called != self.name:
                continue
            missing = sorted(self.required - set(arguments))
            if not missing:
                return
            text = json.dumps(arguments, ensure_ascii=False)
            raise _failed(message, f"The call of {self.name} has no {', '.join(missing)}", text)
        text = message.text
        if message.invalid_tool_calls:
            text = message.invalid_tool_calls[0]["args"] or ""
        raise _failed(message, f"The answer is no whole call of {self.name}", text)


def _calls(message: AIMessage) -> list[tuple[str | None, dict[str, object]]]:
    """Names and arguments of the calls whose arguments are whole."""
    if not isinstance(message, AIMessageChunk):
        # Chunks that were joined elsewhere may say so.
        cut = message.response_metadata.get(CUT, ())
        return [
            (call["name"], call["args"]) for call in message.tool_calls if call["id"] not in cut
        ]
    found: list[tuple[str | None, dict[str, object]]] = []
    # The calls of a chunk have been completed already; its pieces have not.
    for piece in message.tool_call_chunks:
        arguments = arguments_of(piece["args"], cut=_is_cut(message))
        if arguments is not None:
            found.append((piece["name"], arguments))
    return found


def _is_cut(message: AIMessage) -> bool:
    return bool(message.response_metadata.get("finish_reason") == "length")


def _failed(message: AIMessage, what: str, text: str) -> OutputParserException:
    cut = "it was cut off at max_tokens: raise that"
    why = cut if _is_cut(message) else f"it is {text!r}"
    return OutputParserException(f"{what}: {why}.", llm_output=text)
