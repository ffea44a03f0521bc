"""An Anthropic request as a chat request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from openai_dspark.server.anthropic.conversation import Conversation
from openai_dspark.server.body import explain, parse
from openai_dspark.server.errors import ApiError
from openai_dspark.server.left_out import LeftOut
from openai_dspark.server.translated import Names, Place, Wording
from openai_dspark.wire.anthropic_request import (
    AnthropicPrompt,
    AnthropicRequest,
    AnthropicTool,
    NamedToolChoice,
    NoChoice,
)
from openai_dspark.wire.chat_request import ChatRequest
from openai_dspark.wire.other_tool import OtherTool

Body = TypeVar("Body", bound=AnthropicPrompt)

_WORDING = Wording(
    patterns=(
        (re.compile(r"^stop(?=$|\[)"), "stop_sequences"),
        (re.compile(r"^response_format\.json_schema"), "output_config.format"),
        (re.compile(r"^response_format"), "output_config.format"),
        (re.compile(r"^(tools\[\d+\])\.function"), r"\1"),
        (re.compile(r"^tool_choice\.function"), "tool_choice"),
        (re.compile(r"^reasoning_effort$"), "output_config.effort"),
        (re.compile(r"^user$"), "metadata.user_id"),
    ),
    of_calls={"id": "id", "name": "name", "arguments": "input"},
)
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


@dataclass(frozen=True, slots=True)
class Translation(Generic[Body]):
    """A request, the chat it asks to be answered, and what the chat's parts are called in it.

    ``left`` are the tools that are not offered.
    """

    body: Body
    chat: ChatRequest
    names: Names
    left: LeftOut


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the server can do.

    ``thinks`` is whether the model can think before it answers: ``never``, ``always``, or by its
    template's ``switch``; ``reads_effort`` whether its template can be told how hard;
    ``leaves_out`` whether tools that cannot be offered are left out.
    """

    thinks: str
    reads_effort: bool = False
    leaves_out: bool = False


def read_request(raw: bytes, means: Means) -> Translation[AnthropicRequest]:
    """The request's body, translated; ``ApiError`` names the parameter that is wrong.

    Takes a while for large bodies: call it off the event loop.
    """
    body = parse(raw, AnthropicRequest)
    more = {
        "max_tokens": body.max_tokens,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k,
        "stop": body.stop_sequences,
        "stream": body.stream,
        "user": None if body.metadata is None else body.metadata.user_id,
        "cache_salt": body.cache_salt,
        "agentspark": None if body.agentspark is None else body.agentspark.model_dump(),
    }
    return translate(body, more, means)


def read_prompt(raw: bytes, means: Means) -> Translation[AnthropicPrompt]:
    """The same of a request that only wants its tokens counted."""
    return translate(parse(raw, AnthropicPrompt), {}, means)


def translate(body: Body, more: dict[str, Any], means: Means) -> Translation[Body]:
    """The chat that ``body`` asks to be answered, with ``more`` of its fields."""
    conversation = Conversation.of(body)
    left, tools, places = LeftOut(allowed=means.leaves_out), [], []
    for index, tool in enumerate(body.tools or ()):
        if isinstance(tool, OtherTool):
            left.add(tool.type, f"tools[{index}].type")
        else:
            tools.append(_tool(tool))
            places.append(Place(f"tools[{index}]", {"parameters": f"tools[{index}].input_schema"}))
    if body.mcp_servers:
        left.add("mcp_servers", "mcp_servers")
    names = Names(_WORDING, conversation.places, places)
    choice = body.tool_choice
    alone = None if isinstance(choice, NoChoice | None) else choice.disable_parallel_tool_use
    given = {
        "model": body.model,
        "messages": conversation.messages,
        "tools": tools or None,
        "tool_choice": _choice(body),
        "parallel_tool_calls": False if alone else None,
        "response_format": _format(body),
        **_thinking(body, means.thinks, _effort(body, means.reads_effort)),
        **more,
    }
    try:
        return Translation(body, ChatRequest.model_validate(given), names, left)
    except ValidationError as error:
        raise names.renamed(explain(error, given)) from None


def _tool(tool: AnthropicTool) -> dict[str, Any]:
    known = {"description": tool.description, "strict": tool.strict}
    kept = {name: value for name, value in known.items() if value is not None}
    function = {"name": tool.name, "parameters": tool.input_schema, **kept}
    return {"type": "function", "function": function}


def _choice(body: AnthropicPrompt) -> Any:
    choice = body.tool_choice
    if choice is None:
        return None
    if isinstance(choice, NamedToolChoice):
        return {"type": "function", "function": {"name": choice.name}}
    return _CHOICES[choice.type]


def _format(body: AnthropicPrompt) -> dict[str, Any] | None:
    wanted = None if body.output_config is None else body.output_config.format
    if wanted is None:
        return None
    schema = {"name": "answer", "schema": wanted.json_schema, "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def _effort(body: AnthropicPrompt, reads_effort: bool) -> str | None:
    """How hard to think. In this API, ``high`` is the same as saying nothing."""
    given = None if body.output_config is None else body.output_config.effort
    return None if given == "high" and not reads_effort else given


def _thinking(body: AnthropicPrompt, thinks: str, effort: str | None) -> dict[str, Any]:
    """What makes the model think, or not."""
    wanted = body.thinking
    if wanted is None:
        return {"reasoning_effort": effort}
    if wanted.type == "disabled":
        if thinks == "always":
            raise ApiError(400, "thinking: this model cannot be kept from it.", param="thinking")
        if effort is not None:
            param = "output_config.effort"
            raise ApiError(400, f"{param}: there is none without thinking.", param=param)
        return {"reasoning_effort": "none"}
    if wanted.type == "enabled" and thinks == "never":
        raise ApiError(400, "thinking: this model does not think first.", param="thinking")
    switch = {"enable_thinking": True} if thinks == "switch" else None
    return {"reasoning_effort": effort, "chat_template_kwargs": switch}
