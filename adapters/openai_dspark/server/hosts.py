"""Whether a request addresses this server by one of its names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from openai_dspark.server.errors import ApiError

if TYPE_CHECKING:
    from openai_dspark.server.settings import ServerSettings


class KnownHosts:
    """ASGI middleware that refuses other names where the settings say so."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI says."""
        if scope["type"] == "http" and self._settings.checks_hosts:
            host = Headers(scope=scope).get("host", "")
            if not self._settings.knows_host(host):
                await _wrong_host().response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _wrong_host() -> ApiError:
    return ApiError(
        403,
        "This server does not go by that name: address it as localhost, or start it with "
        "--allowed-host NAME.",
        code="host_not_allowed",
    )
