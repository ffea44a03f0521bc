"""Tells whole answers from ones that were cut off, whose JSON LangChain's parsers would complete.

They are made for streams: of ``{"a": 12, "b": 3`` they read both fields, of ``{"a": 1`` the first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_dspark.response import CUT

Check = Callable[[AIMessage], None]

_FENCE = re.compile(r"```(?:json)?(.*)", re.DOTALL)
# As lenient with line ends in strings as LangChain's parsers are.
_DECODER = json.JSONDecoder(strict=False)


def check_text(message: AIMessage) -> None:
    """Raise ``OutputParserException`` where the text holds no JSON value to its end.

    The value may stand in a fence, and text may follow it.
    """
    text = message.text.strip()
    fence = None if text.startswith(("{", "[")) else _FENCE.search(text)
    try:
        _DECODER.raw_decode(text if fence is None else fence[1].strip())
    except ValueError as error:
        raise _failed(message, "The answer is no whole JSON", text) from error


def check_call(name: str, required: frozenset[str]) -> Check:
    """A check that raises ``OutputParserException`` where no whole call of ``name`` is made.

    ``required`` are the arguments that it must have.
    """

    def check(message: AIMessage) -> None:
        for called, arguments in _calls(message):
            if called != name:
                continue
            missing = sorted(required - set(arguments))
            if not missing:
                return
            text = json.dumps(arguments, ensure_ascii=False)
            raise _failed(message, f"The call of {name} has no {', '.join(missing)}", text)
        text = message.text
        if message.invalid_tool_calls:
            text = message.invalid_tool_calls[0]["args"] or ""
        raise _failed(message, f"The answer is no whole call of {name}", text)

    return check


def _calls(message: AIMessage) -> list[tuple[str | None, dict[str, object]]]:
    """Names and arguments of the calls whose arguments are whole."""
    if not isinstance(message, AIMessageChunk):
        # Joined chunks of a stream may say so.
        cut = message.response_metadata.get(CUT, ())
        return [
            (call["name"], call["args"]) for call in message.tool_calls if call["id"] not in cut
        ]
    found: list[tuple[str | None, dict[str, object]]] = []
    # The calls of a chunk have been completed already; its pieces have not.
    for piece in message.tool_call_chunks:
        try:
            arguments = _DECODER.decode(piece["args"] or "{}")
        except ValueError:
            continue
        if isinstance(arguments, dict):
            found.append((piece["name"], arguments))
    return found


def _failed(message: AIMessage, what: str, text: str) -> OutputParserException:
    finish = message.response_metadata.get("finish_reason")
    why = "it was cut off at max_tokens: raise that" if finish == "length" else f"it is {text!r}"
    return OutputParserException(f"{what}: {why}.", llm_output=text)
