"""A Responses request as a chat request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from openai_dspark.server.body import explain, parse
from openai_dspark.server.errors import ApiError
from openai_dspark.server.left_out import LeftOut
from openai_dspark.server.responses.conversation import Conversation
from openai_dspark.server.responses.names import WORDING
from openai_dspark.server.responses.offer import Offer
from openai_dspark.server.translated import Names
from openai_dspark.wire.chat_request import ChatRequest
from openai_dspark.wire.response_request import (
    ResponseRequest,
    ResponseSchemaFormat,
)


@dataclass(frozen=True, slots=True)
class Translation:
    """A request, the chat it asks to be answered, and what the chat's parts are called in it.

    ``offer`` has the tools that the model is offered, ``left`` those that it is not.
    """

    body: ResponseRequest
    chat: ChatRequest
    names: Names
    offer: Offer
    left: LeftOut


def read_request(raw: bytes, *, leaves_out: bool) -> Translation:
    """The request's body, translated; ``ApiError`` names the parameter that is wrong.

    ``leaves_out``: tools that cannot be offered are left out. Takes a while for large bodies: call
    it off the event loop.
    """
    return translate(parse(raw, ResponseRequest), leaves_out=leaves_out)


def translate(body: ResponseRequest, *, leaves_out: bool = False) -> Translation:
    """The chat that ``body`` asks to be answered."""
    conversation, left = Conversation.of(body), LeftOut(allowed=leaves_out)
    offer = Offer.of(body.tools or (), left)
    names = Names(WORDING, conversation.places, offer.places)
    fields = {
        "messages": conversation.messages,
        "max_completion_tokens": body.max_output_tokens,
        "tools": offer.functions or None,
        "tool_choice": offer.choice(body.tool_choice, left),
        "response_format": _format(body),
        "reasoning_effort": None if body.reasoning is None else body.reasoning.effort,
        "agentspark": None if body.agentspark is None else body.agentspark.model_dump(),
        **_logprobs(body),
    }
    same = (
        "model",
        "temperature",
        "top_p",
        "stream",
        "stream_options",
        "parallel_tool_calls",
        "metadata",
        "user",
        "safety_identifier",
        "cache_salt",
    )
    given = {**fields, **{name: getattr(body, name) for name in same}}
    try:
        return Translation(body, ChatRequest.model_validate(given), names, offer, left)
    except ValidationError as error:
        raise names.renamed(explain(error, given)) from None


def _logprobs(body: ResponseRequest) -> dict[str, Any]:
    if body.top_logprobs and not body.logprobs:
        param = "top_logprobs"
        text = f"{param} needs include: ['message.output_text.logprobs']."
        raise ApiError(400, text, param=param)
    return {"logprobs": True, "top_logprobs": body.top_logprobs} if body.logprobs else {}


def _format(body: ResponseRequest) -> dict[str, Any] | None:
    wanted = None if body.text is None else body.text.format
    if wanted is None:
        return None
    if isinstance(wanted, ResponseSchemaFormat):
        shape = wanted.as_sent()
        return {
            "type": "json_schema",
            "json_schema": {name: value for name, value in shape.items() if name != "type"},
        }
    return {"type": wanted.type}
