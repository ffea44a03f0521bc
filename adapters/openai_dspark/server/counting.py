"""The tokens of a prompt, counted for an API whose requests are translated to chats."""

from __future__ import annotations

from fastapi import Request

from openai_dspark.server.auth import Caller
from openai_dspark.server.chat.order import ChatOrder
from openai_dspark.server.errors import ApiError, to_api_error
from openai_dspark.server.service import Service
from openai_dspark.server.translated import Names
from openai_dspark.wire.chat_request import ChatRequest


async def prompt_tokens(
    request: Request, service: Service, caller: Caller, chat: ChatRequest, names: Names
) -> int:
    """The tokens of the prompt that ``chat`` becomes; nothing is generated.

    Raises ``ApiError``, by ``names`` of the request that it came from.
    """
    try:
        order = ChatOrder.of(service, chat, caller, request.headers)
        return await service.off_loop(order.prompt_tokens)
    except ApiError as error:
        raise names.renamed(error) from error
    except Exception as error:
        raise names.renamed(to_api_error(error)) from error
