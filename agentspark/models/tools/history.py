"""Tool calls and results in the messages of a chat: checked, and shaped for a template."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from agentspark.errors import InvalidRequestError
from agentspark.models.tools.call import said

Message = dict[str, Any]

# Templates, and what hides control tokens from them, go into a value level by level.
_DEEPEST = 100

# Letters and digits of a call's id, where a template counts them.
_SHORT = 9


def has_tools(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether any message calls a tool or names the call it answers."""
    return any(m.get("tool_calls") or m.get("tool_call_id") is not None for m in messages)


def check_calls(messages: Sequence[Mapping[str, Any]]) -> list[Message]:
    """``messages`` with the arguments of all calls as objects (templates take no JSON text).

    Arguments that are no JSON object stay the text they are: a call that was cut off is a part of
    its chat too. Raises ``InvalidRequestError`` naming the field for calls that are none, and for
    results of a call that no earlier message made.
    """
    known: set[str] = set()
    checked = []
    for index, message in enumerate(messages):
        where, copy = f"messages[{index}]", dict(message)
        calls = copy.get("tool_calls")
        if calls and copy["role"] != "assistant":
            raise _bad("belongs to the role assistant", f"{where}.tool_calls")
        if calls:
            if isinstance(calls, (str, Mapping)) or not isinstance(calls, Sequence):
                raise _bad("must be a list", f"{where}.tool_calls")
            copy["tool_calls"] = [
                _check_call(call, f"{where}.tool_calls[{n}]") for n, call in enumerate(calls)
            ]
            known.update(call["id"] for call in copy["tool_calls"] if "id" in call)
        elif "tool_calls" in copy:
            del copy["tool_calls"]  # null or empty: templates ask only whether it is there
        answered = copy.get("tool_call_id")
        if answered is not None and answered not in known:
            raise _bad(
                f"is {answered!r}, which no assistant message before it has as the id of a tool "
                "call: send the message with the call too",
                f"{where}.tool_call_id",
            )
        checked.append(copy)
    return checked


def arguments_as_text(messages: Sequence[Message]) -> list[Message]:
    """``messages`` with the arguments of all calls as JSON text."""
    return [
        {**m, "tool_calls": [_as_text(call) for call in m["tool_calls"]]}
        if "tool_calls" in m
        else m
        for m in messages
    ]


def _as_text(call: Message) -> Message:
    function = call["function"]
    return {**call, "function": {**function, "arguments": arguments_text(function["arguments"])}}


def with_short_ids(messages: Sequence[Message]) -> list[Message]:
    """``messages`` with ids of calls of nine letters and digits, which is all some templates take.

    The same id always gives the same one, so that a longer chat extends a shorter one.
    """
    return [_with_short_ids(message) for message in messages]


def _with_short_ids(message: Message) -> Message:
    copy = dict(message)
    if "tool_calls" in copy:
        copy["tool_calls"] = [
            {**call, "id": short_id(str(call.get("id", place)))}
            for place, call in enumerate(copy["tool_calls"])
        ]
    if copy.get("tool_call_id") is not None:
        copy["tool_call_id"] = short_id(copy["tool_call_id"])
    return copy


def short_id(ident: str) -> str:
    """``ident`` where it has nine letters and digits, else nine that stand for it."""
    if len(ident) == _SHORT and ident.isascii() and ident.isalnum():
        return ident
    return hashlib.blake2b(ident.encode()).hexdigest()[:_SHORT]


def arguments_text(arguments: object) -> str:
    """Checked arguments as JSON text, or as the text they were."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def turn_text(message: Mapping[str, Any]) -> str:
    """What an assistant message says, as ``said`` puts it: the key of its remembered tokens."""
    calls = [
        (call["function"]["name"], arguments_text(call["function"]["arguments"]))
        for call in message.get("tool_calls") or ()
    ]
    return said(message["content"], calls)


def turn_reasoning(message: Mapping[str, Any]) -> str:
    """The reasoning that an assistant message brings; white space around it is no part of it."""
    return str(message.get("reasoning_content") or "").strip()


def _check_call(call: object, where: str) -> Message:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping):
        raise _bad("must be {'id', 'type': 'function', 'function': {...}}", where)
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not name:
        raise _bad("must be the name of a function", f"{where}.function.name")
    if "id" in call and not isinstance(call["id"], str):
        raise _bad("must be a text", f"{where}.id")
    if isinstance(arguments, str):
        arguments = _read(arguments)
    elif not isinstance(arguments, Mapping):
        raise _bad("must be a JSON object or its text", f"{where}.function.arguments")
    told = {**function, "arguments": arguments if isinstance(arguments, str) else dict(arguments)}
    return {**call, "type": "function", "function": told}


def _read(text: str) -> str | Mapping[str, Any]:
    """The JSON object that ``text`` is, or ``text`` where it is none that can be written again.

    Half of a surrogate pair is JSON, escaped, and no text a tokenizer would take; what is nested
    too deeply is left alone, too.
    """
    try:
        found = json.loads(text) if text.strip() else {}
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, Mapping) and not _deeper(found, _DEEPEST) else text


def _deeper(value: object, levels: int) -> bool:
    """Whether ``value`` is nested more than ``levels`` deep."""
    if not isinstance(value, Mapping | list):
        return False
    parts = value.values() if isinstance(value, Mapping) else value
    return levels == 0 or any(_deeper(part, levels - 1) for part in parts)


def _bad(problem: str, param: str) -> InvalidRequestError:
    return InvalidRequestError(f"{param} {problem}.", param=param)
