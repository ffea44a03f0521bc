"""What endpoints ask FastAPI for."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from openai_dspark.server.auth import Caller
from openai_dspark.server.body import read_body
from openai_dspark.server.errors import ApiError
from openai_dspark.server.facts import facts_of
from openai_dspark.server.labels import TIMEOUT_HEADER
from openai_dspark.server.service import Service

Parsed = TypeVar("Parsed")

# Bytes that are parsed in less time than it takes to ask a thread.
_SMALL = 16_384


def service_of(request: Request) -> Service:
    """The server's state."""
    service: Service = request.app.state.service
    return service


ServiceOf = Annotated[Service, Depends(service_of)]


def _caller(request: Request, service: ServiceOf) -> Caller:
    caller = service.keys.caller(request)
    facts_of(request).log["caller"] = caller.name
    return caller


CallerOf = Annotated[Caller, Depends(_caller)]


async def parsed(request: Request, service: Service, read: Callable[[bytes], Parsed]) -> Parsed:
    """What ``read`` makes of the request's body; its ``ApiError`` says what is wrong with it."""
    body = await read_body(request, service)
    if len(body) <= _SMALL:
        return read(body)
    return await service.off_loop(lambda: read(body))


def timeout_of(request: Request, service: Service) -> float:
    """Seconds this request may take: the server's limit, or less where a header asks for it."""
    limit = service.settings.request_timeout_s
    given = request.headers.get(TIMEOUT_HEADER)
    if not given:
        return limit
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        raise ApiError(
            400,
            f"{TIMEOUT_HEADER}: {given!r} is no number of seconds above 0.",
            param=TIMEOUT_HEADER,
        )
    return min(seconds, limit)
