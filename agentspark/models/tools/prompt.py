"""The generic prompt: tools for models whose chat template knows none.

The tools are described in the system message, calls and results are written into messages the
template does know:

- the system message (one is put in front if there is none; where the template has no such role,
  the user's first message begins with it) ends with ``INSTRUCTION``, in which every tool stands on
  a line of its own as JSON: name, description, parameters;
- a call is ``<tool_call>``, a line with ``{"name": ..., "arguments": {...}}``, ``</tool_call>``;
- a result is a message of role ``tool`` if the template has that role, else of role ``user`` with
  the result between ``<tool_response>`` and ``</tool_response>``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agentspark.models.tools.formats import ToolFormat
from agentspark.models.tools.history import arguments_text
from agentspark.models.tools.tool import Tool

INSTRUCTION = """\
You can use these tools:
<tools>
{tools}
</tools>
When a tool can help, answer with a call and nothing else, like this:
<tool_call>
{{"name": "tool name", "arguments": {{"argument": "value"}}}}
</tool_call>
The result comes back to you. When you know the answer, say it in plain words."""

Message = dict[str, Any]

_WRITTEN = ("tool_calls", "content")


def with_tools(
    messages: Sequence[Message], tools: Sequence[Tool], *, system_role: bool = True
) -> list[Message]:
    """``messages`` with the tools in their system message.

    Without a ``system_role`` in the template, the first message of a user begins with them.
    """
    lines = "\n".join(_described(tool) for tool in tools)
    text = INSTRUCTION.format(tools=lines)
    rest = list(messages)
    if rest and rest[0]["role"] == "system":
        first = rest.pop(0)
        text = f"{first['content']}\n\n{text}" if first["content"] else text
        return [{**first, "content": text}, *rest]
    if system_role:
        return [{"role": "system", "content": text}, *rest]
    first = rest.pop(0) if rest and rest[0]["role"] == "user" else {"role": "user", "content": ""}
    return [{**first, "content": f"{text}\n\n{first['content']}".rstrip("\n")}, *rest]


def in_plain_messages(
    messages: Sequence[Message], form: ToolFormat, *, tool_role: bool
) -> list[Message]:
    """``messages`` with calls as text and, unless ``tool_role``, results as a user's messages."""
    plain: list[Message] = []
    for message in messages:
        if message["role"] == "assistant" and message.get("tool_calls"):
            told = {key: message[key] for key in message if key not in _WRITTEN}
            plain.append({**told, "content": written(message, form)})
        elif message["role"] == "tool" and not tool_role:
            text = f"<tool_response>\n{message['content']}\n</tool_response>"
            if plain and plain[-1].get("results"):
                plain[-1]["content"] += "\n" + text
            else:
                plain.append({"role": "user", "content": text, "results": True})
        else:
            plain.append(message)
    return [{key: m[key] for key in m if key != "results"} for m in plain]


def written(message: Mapping[str, Any], form: ToolFormat) -> str:
    """An assistant message with calls as the model would have written it."""
    calls = []
    for call in message["tool_calls"]:
        function = call["function"]
        arguments = arguments_text(function["arguments"])
        calls.append(f"{form.before}{function['name']}{form.middle}{arguments}{form.after}")
    content = message["content"].rstrip()
    lead = f"{content}\n" if content else ""
    return lead + form.opening + form.between.join(calls) + form.closing


def _described(tool: Tool) -> str:
    told = {
        "name": tool.name,
        "description": tool.description,
        "parameters": json.loads(tool.parameters),
    }
    return json.dumps(told, ensure_ascii=False)
