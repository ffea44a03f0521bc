"""``POST /v1/responses``."""

from __future__ import annotations

import time
from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response as HttpResponse

from openai_dspark.server.call import Call
from openai_dspark.server.chat.order import ChatOrder
from openai_dspark.server.counting import prompt_tokens
from openai_dspark.server.dependencies import CallerOf, ServiceOf, parsed, timeout_of
from openai_dspark.server.errors import ApiError
from openai_dspark.server.facts import facts_of
from openai_dspark.server.openapi import post
from openai_dspark.server.responses.events import EventWriter
from openai_dspark.server.responses.reply import ResponseHead, items_of, logprobs_of
from openai_dspark.server.responses.translate import read_request
from openai_dspark.server.running import answer, note_start, streamed
from openai_dspark.wire.response_reply import InputCounted, Response
from openai_dspark.wire.response_request import ResponseRequest

router = APIRouter()


@router.post("/v1/responses", **post(ResponseRequest, Response))
async def responses(request: Request, service: ServiceOf, caller: CallerOf) -> HttpResponse:
    """Answer an input, at once or as a stream; nothing is kept."""
    read = partial(read_request, leaves_out=service.settings.leave_out_tools)
    asked = await parsed(request, service, read)
    asked.left.note(request)
    body = asked.body
    try:
        order = ChatOrder.of(service, asked.chat, caller, request.headers)
        note_start(facts_of(request), order.body, order.labels)
        if service.settings.log_texts:
            facts_of(request).log["messages"] = order.messages()
        opening = partial(
            service.open,
            order.requests,
            sequences=1,
            timeout_s=timeout_of(request, service),
            arm=order.labels.arm,
            on_completion=order.answered,
            on_unanswered=order.unanswered,
            prompt="input",
        )

        def head(call: Call) -> ResponseHead:
            return ResponseHead(call.number, int(time.time()), body, order.sampling, asked.offer)

        def whole(call: Call) -> Response:
            completion, own = call.finished[0], head(call)
            logprobs = logprobs_of(completion, service.texts)
            return own.finished(completion, items_of(completion, own.number, asked.offer, logprobs))

        def writer(call: Call) -> EventWriter:
            return EventWriter(head(call), service.texts.choice())

        if body.stream:
            return await streamed(request, opening, writer, 1)
        return await answer(request, opening, whole, 1)
    except ApiError as error:
        raise asked.names.renamed(error) from error


@router.post("/v1/responses/input_tokens", **post(ResponseRequest, InputCounted))
async def input_tokens(request: Request, service: ServiceOf, caller: CallerOf) -> HttpResponse:
    """Count the tokens of an input's prompt; nothing is generated."""
    read = partial(read_request, leaves_out=service.settings.leave_out_tools)
    asked = await parsed(request, service, read)
    asked.left.note(request)
    counted = await prompt_tokens(request, service, caller, asked.chat, asked.names)
    reply = InputCounted(input_tokens=counted, object="response.input_tokens")
    return HttpResponse(reply.to_json(), media_type="application/json")
