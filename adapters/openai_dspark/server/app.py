"""Putting the server together: one ASGI application over one engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from agentspark import __version__
from openai_dspark.server import errors, operations
from openai_dspark.server.anthropic import endpoint as anthropic_endpoint
from openai_dspark.server.chat import endpoint as chat_endpoint
from openai_dspark.server.completions import endpoint as completions_endpoint
from openai_dspark.server.cors import Cors
from openai_dspark.server.disconnect import ClientGoneError
from openai_dspark.server.facts import LEFT_OUT_HEADER, REQUEST_ID_HEADER
from openai_dspark.server.gate import Gate
from openai_dspark.server.hosts import KnownHosts
from openai_dspark.server.responses import endpoint as responses_endpoint
from openai_dspark.server.service import Service
from openai_dspark.server.settings import ServerSettings

if TYPE_CHECKING:
    from agentspark.engine.engine import Engine


class ServerApp:
    """The ASGI application. ``service`` is its state; the engine is closed when it shuts down."""

    def __init__(self, engine: Engine, settings: ServerSettings | None = None) -> None:
        self.service = Service(engine, settings or ServerSettings())
        self.api = _api(self.service)
        self._gate = Gate(
            _guarded(self.api, self.service.settings),
            self.service.meters,
            lambda: engine.trace_mark,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI says."""
        await self._gate(scope, receive, send)


def _api(service: Service) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await service.close()

    api = FastAPI(
        title="agentspark",
        version=__version__,
        openapi_url=None,  # an endpoint like the others: see operations
        redirect_slashes=False,
        lifespan=lifespan,
    )
    api.state.service = service
    endpoints = (chat_endpoint, completions_endpoint, responses_endpoint, anthropic_endpoint)
    for room in (*endpoints, operations):
        api.include_router(room.router)
    errors.install(api)
    api.add_exception_handler(ClientGoneError, _nobody)
    return api


def _guarded(api: FastAPI, settings: ServerSettings) -> ASGIApp:
    """What a request passes on its way in; pages may read every answer, refusals included."""
    known = KnownHosts(api, settings)
    if not settings.cors_origins:
        return known
    return Cors(
        known,
        allow_origins=list(settings.cors_origins),
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
        expose_headers=[REQUEST_ID_HEADER, LEFT_OUT_HEADER, "retry-after"],
    )


async def _nobody(_request: Request, _error: Exception) -> Response:
    """Nobody reads this; the log says 499."""
    return Response(status_code=499)
