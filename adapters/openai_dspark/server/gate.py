"""The outermost layer: what every response has in its head, one log line per request."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openai_dspark.server.errors import to_api_error
from openai_dspark.server.facts import LEFT_OUT_HEADER, REQUEST_ID_HEADER, Facts
from openai_dspark.wire.recorded import RECORDED_HEADER

if TYPE_CHECKING:
    from openai_dspark.server.metrics import Meters

_log = logging.getLogger("openai_dspark.access")


class Gate:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, meters: Meters, recorded: Callable[[], str | None]) -> None:
        """``recorded`` gives the mark of the trace that calls are written to, if there is one."""
        self._app = app
        self._meters = meters
        self._recorded = recorded

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, as ASGI says."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        facts = scope["agentspark"] = Facts.begin(headers.get(REQUEST_ID_HEADER))
        inner = _as_get(scope)
        began, status = time.perf_counter(), 0

        async def reply(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                out = MutableHeaders(scope=message)
                out[REQUEST_ID_HEADER] = facts.request_id
                out["x-content-type-options"] = "nosniff"
                out["cache-control"] = "no-store"
                if facts.left_out:
                    out[LEFT_OUT_HEADER] = ", ".join(facts.left_out)
                if (mark := self._recorded()) is not None:
                    out[RECORDED_HEADER] = mark
            await send(message)

        try:
            await self._app(inner, receive, reply)
        except Exception as error:
            # Told to the client and logged where it was turned into a response; the connection
            # stays good. An error in the middle of a response ends it: the server sees to that.
            if not status:
                await to_api_error(error).response()(scope, receive, reply)
        finally:
            self._note(scope, inner, facts, status, time.perf_counter() - began)

    def _note(self, scope: Scope, inner: Scope, facts: Facts, status: int, seconds: float) -> None:
        route = getattr(inner.get("route"), "path", "other")
        self._meters.http(route, status, seconds)
        client = scope.get("client")
        _log.info(
            "request",
            extra={
                "fields": {
                    "request_id": facts.request_id,
                    "client": client[0] if client else None,
                    "method": scope["method"],
                    "path": scope["path"],
                    # 499, as others log it: the client went away before there was an answer.
                    "status": status or 499,
                    "ms": round(seconds * 1e3, 1),
                    **facts.log,
                }
            },
        )


def _as_get(scope: Scope) -> Scope:
    """A HEAD request as the GET it stands for; whoever sends the answer leaves its body out."""
    if scope["method"] == "HEAD":
        return {**scope, "method": "GET"}
    return scope
