"""``POST /v1/completions``."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request
from starlette.responses import Response

from openai_dspark.server.body import parse
from openai_dspark.server.call import Call
from openai_dspark.server.completions.order import CompletionOrder
from openai_dspark.server.completions.reply import CompletionWriter
from openai_dspark.server.dependencies import CallerOf, ServiceOf, parsed, timeout_of
from openai_dspark.server.event_stream import ChunkEvents
from openai_dspark.server.facts import facts_of
from openai_dspark.server.head import ReplyHead
from openai_dspark.server.openapi import post
from openai_dspark.server.running import answer, note_start, streamed
from openai_dspark.wire.completion_reply import TextCompletion
from openai_dspark.wire.completion_request import CompletionRequest

router = APIRouter()


@router.post("/v1/completions", **post(CompletionRequest, TextCompletion))
async def text_completions(request: Request, service: ServiceOf, caller: CallerOf) -> Response:
    """Continue prompts, at once or as a stream."""
    body = await parsed(request, service, lambda raw: parse(raw, CompletionRequest))
    order = CompletionOrder.of(service, body, caller, request.headers)
    facts = facts_of(request)
    note_start(facts, body, order.labels)
    if service.settings.log_texts:
        facts.log["prompts"] = order.prompts
    opening = partial(
        service.open,
        order.requests,
        sequences=len(order.prompts) * order.n,
        timeout_s=timeout_of(request, service),
        arm=order.labels.arm,
        prompt="prompt",
    )

    def writer(call: Call) -> CompletionWriter:
        head = ReplyHead.of("cmpl", call, body.model)
        return CompletionWriter(head, order.n, order.echoes(), service.texts, body.logprobs)

    if body.stream:
        return await streamed(
            request,
            opening,
            lambda call: ChunkEvents(writer(call), body.stream_options),
            order.n,
        )
    return await answer(request, opening, lambda call: writer(call).whole(call.finished), order.n)
