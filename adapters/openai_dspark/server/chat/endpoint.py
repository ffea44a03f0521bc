"""``POST /v1/chat/completions``."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from openai_dspark.server.auth import Caller
from openai_dspark.server.body import parse
from openai_dspark.server.call import Call
from openai_dspark.server.chat.chunks import ChunkWriter
from openai_dspark.server.chat.order import ChatOrder
from openai_dspark.server.chat.reply import to_reply
from openai_dspark.server.dependencies import CallerOf, ServiceOf, parsed, timeout_of
from openai_dspark.server.errors import ApiError
from openai_dspark.server.event_stream import ChunkEvents
from openai_dspark.server.facts import facts_of
from openai_dspark.server.head import ReplyHead
from openai_dspark.server.left_out import LeftOut
from openai_dspark.server.openapi import post
from openai_dspark.server.running import answer, note_start, streamed
from openai_dspark.server.service import Service
from openai_dspark.server.translated import Names, Place, Wording
from openai_dspark.wire.chat_reply import ChatCompletion
from openai_dspark.wire.chat_request import ChatRequest
from openai_dspark.wire.other_tool import OtherTool

router = APIRouter()


@router.post("/v1/chat/completions", **post(ChatRequest, ChatCompletion))
async def chat_completions(request: Request, service: ServiceOf, caller: CallerOf) -> Response:
    """Answer a chat, at once or as a stream."""
    body = await parsed(request, service, lambda raw: parse(raw, ChatRequest))
    names = _offered(request, service, body)
    try:
        return await _answered(request, service, body, caller)
    except ApiError as error:
        raise names.renamed(error) from error


async def _answered(
    request: Request, service: Service, body: ChatRequest, caller: Caller
) -> Response:
    order = ChatOrder.of(service, body, caller, request.headers)
    facts = facts_of(request)
    note_start(facts, body, order.labels)
    if service.settings.log_texts:
        facts.log["messages"] = order.messages()
    texts = service.texts
    opening = partial(
        service.open,
        order.requests,
        sequences=order.n,
        timeout_s=timeout_of(request, service),
        arm=order.labels.arm,
        on_completion=order.answered,
        on_unanswered=order.unanswered,
        prompt="messages",
    )

    def head(call: Call) -> ReplyHead:
        return ReplyHead.of("chatcmpl", call, body.model)

    if body.stream:

        def writer(call: Call) -> ChunkEvents:
            return ChunkEvents(ChunkWriter(head(call), order.n, texts), body.stream_options)

        return await streamed(request, opening, writer, order.n)
    return await answer(
        request, opening, lambda call: to_reply(head(call), call.finished, texts), order.n
    )


def _offered(request: Request, service: Service, body: ChatRequest) -> Names:
    """The names of the tools that the model is offered; what it cannot be is left out or refused.

    What is left of them are those of ``body.functions``.
    """
    left, places = LeftOut(allowed=service.settings.leave_out_tools), []
    for index, tool in enumerate(body.tools or ()):
        if isinstance(tool, OtherTool):
            left.add(tool.type, f"tools[{index}].type")
        else:
            places.append(Place(f"tools[{index}]"))
    if body.web_search_options is not None and body.web_search_options is not False:
        left.add("web_search_options", "web_search_options")
    left.note(request)
    return Names(Wording(patterns=(), of_calls={}), (), places)
