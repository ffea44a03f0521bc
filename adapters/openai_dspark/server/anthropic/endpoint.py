"""``POST /v1/messages`` and ``POST /v1/messages/count_tokens``."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from agentspark.engine.request import Request as EngineRequest
from openai_dspark.server.anthropic.events import EventWriter
from openai_dspark.server.anthropic.reply import MessageHead
from openai_dspark.server.anthropic.translate import Means, read_prompt, read_request
from openai_dspark.server.chat.order import ChatOrder
from openai_dspark.server.counting import prompt_tokens
from openai_dspark.server.dependencies import CallerOf, ServiceOf, parsed, timeout_of
from openai_dspark.server.errors import ApiError
from openai_dspark.server.facts import facts_of
from openai_dspark.server.openapi import post
from openai_dspark.server.running import answer, note_start, streamed
from openai_dspark.server.service import Service
from openai_dspark.wire.anthropic_reply import AnthropicAnswer, TokensCounted
from openai_dspark.wire.anthropic_request import AnthropicPrompt, AnthropicRequest

router = APIRouter()


@router.post("/v1/messages", **post(AnthropicRequest, AnthropicAnswer))
async def messages(request: Request, service: ServiceOf, caller: CallerOf) -> Response:
    """Go on with a conversation, at once or as a stream."""
    asked = await parsed(request, service, partial(read_request, means=_means(service)))
    asked.left.note(request)
    try:
        order = ChatOrder.of(service, asked.chat, caller, request.headers)
        note_start(facts_of(request), order.body, order.labels)
        if service.settings.log_texts:
            facts_of(request).log["messages"] = order.messages()
        thinking = asked.body.thinking
        omitted = thinking is not None and thinking.display == "omitted"
        head = MessageHead(asked.body.model, hides_thoughts=omitted)

        def prepare() -> list[EngineRequest]:
            requests = order.requests()
            head.prompt_tokens = len(requests[0].prompt_token_ids)
            return requests

        opening = partial(
            service.open,
            prepare,
            sequences=1,
            timeout_s=timeout_of(request, service),
            arm=order.labels.arm,
            on_completion=order.answered,
            on_unanswered=order.unanswered,
            prompt="messages",
        )
        if asked.body.stream:
            return await streamed(request, opening, partial(EventWriter, head), 1)
        return await answer(request, opening, head.finished, 1)
    except ApiError as error:
        raise asked.names.renamed(error) from error


@router.post("/v1/messages/count_tokens", **post(AnthropicPrompt, TokensCounted))
async def count_tokens(request: Request, service: ServiceOf, caller: CallerOf) -> Response:
    """Count the tokens of a conversation's prompt; nothing is generated."""
    asked = await parsed(request, service, partial(read_prompt, means=_means(service)))
    asked.left.note(request)
    counted = await prompt_tokens(request, service, caller, asked.chat, asked.names)
    return Response(TokensCounted(input_tokens=counted).to_json(), media_type="application/json")


def _means(service: Service) -> Means:
    tokenizer: Any = service.engine.target.tokenizer
    template = str(tokenizer.hf.chat_template)
    thinks = "switch" if "enable_thinking" in template else "always"
    if tokenizer.reasoning_format is None:
        thinks = "never"
    return Means(
        thinks=thinks,
        reads_effort="reasoning_effort" in template,
        leaves_out=service.settings.leave_out_tools,
    )
