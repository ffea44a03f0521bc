"""HTTP/1.1 as uvicorn speaks it, with errors in OpenAI's shape where a request is no HTTP."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from openai_dspark.server.errors import ApiError


class HttpProtocol(H11Protocol):
    """One connection. h11 parses it, whatever else is installed.

    A request's head has ``head_timeout_s`` to arrive, from the connection or its first byte on.
    How long a connection may be idle between two requests is uvicorn's matter.
    """

    def __init__(self, *given: Any, head_timeout_s: float, **more: Any) -> None:
        super().__init__(*given, **more)
        self._head_timeout_s = head_timeout_s
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._have_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes: any that are not of a request whose head is there begin one."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._await_head()

    def handle_events(self) -> None:
        """Handle what has come, and see whether it ended with a part of a head."""
        super().handle_events()
        if self.conn.their_state is not h11.IDLE:
            self._have_head()
        elif self.conn.trailing_data[0]:
            self._await_head()

    def _should_upgrade(self) -> bool:
        """Speak HTTP/1.1 on. Java's client offers HTTP/2 with every first request: no warning."""
        return False

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with the bytes that came, unless an answer has begun, and hang up."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self._tell(ApiError(400, msg))
        self.transport.close()

    def _await_head(self) -> None:
        if self._head_timer is None and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(self._head_timeout_s, self._head_is_late)

    def _have_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self.conn.trailing_data[0]:
            text = f"The request's head did not arrive within {self._head_timeout_s:g} s."
            self._tell(ApiError(408, text))
        self.transport.close()

    def _tell(self, error: ApiError) -> None:
        body = error.reply().to_json()
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
            "content-type: application/json\r\n"
            "cache-control: no-store\r\n"
            f"content-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
