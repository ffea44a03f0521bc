"""Sending a request within the time of its call, until the headers of its response are there.

httpx bounds single waits, which a server that sends a line of its headers now and then makes many
of. The waits for the body are ``Deadline``'s.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import httpcore
import httpx

from openai_dspark.client.deadline import Deadline

_CONNECTED = (".connect_tcp.complete", ".start_tls.complete")
_PIECE_BYTES = 1 << 14

# The call that this thread is sending: a pooled connection serves one call after the other.
_sending: ContextVar[Deadline | None] = ContextVar("_sending", default=None)


def send(http: httpx.Client, request: httpx.Request, deadline: Deadline) -> httpx.Response:
    """The unread response; httpx's errors pass, timeouts also where the call's time is over."""
    request.extensions = {**request.extensions, "trace": _bound_when_connected}
    token = _sending.set(deadline)
    try:
        return http.send(request, stream=True)
    finally:
        _sending.reset(token)


async def asend(
    http: httpx.AsyncClient, request: httpx.Request, deadline: Deadline
) -> httpx.Response:
    """The same without blocking the event loop; ``TimeoutError`` where the call's time is over."""
    line = _Line()
    request.extensions = {**request.extensions, "trace": line.trace}
    async with asyncio.timeout(deadline.patience_s):
        sending = asyncio.create_task(http.send(request, stream=True))
        try:
            return await asyncio.shield(sending)
        except asyncio.CancelledError:
            line.leave(sending)
            while not sending.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([sending])
            if not sending.cancelled() and sending.exception() is None:
                await sending.result().aclose()
            raise


class _Line:
    """Where a request is on its way.

    httpcore forgets a fresh connection whose request is cancelled between its making and its first
    use: the socket stays open, and its place in the pool taken, for ever. So a request that is
    cancelled there goes on to its first use, which nothing delays.
    """

    def __init__(self) -> None:
        self._fresh = False
        self._left: asyncio.Task[httpx.Response] | None = None

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note what httpcore has come to; it awaits this."""
        self._fresh = event.endswith(_CONNECTED)
        if self._left is not None and not self._fresh:
            self._left.cancel()
            self._left = None  # once: a second time would cut short what the first one ends

    def leave(self, sending: asyncio.Task[httpx.Response]) -> None:
        """Cancel ``sending``, which this line is of, as soon as it may be."""
        if self._fresh:
            self._left = sending
        else:
            sending.cancel()


def _bound_when_connected(event: str, info: Mapping[str, Any]) -> None:
    if event.endswith(_CONNECTED):
        _bound(info["return_value"])


def _bound(stream: Any) -> None:
    """Let each wait of ``stream`` take no longer than the call that is being sent over it may."""
    read, write = stream.read, stream.write

    def bounded_read(max_bytes: int, timeout: float | None = None) -> bytes:
        data: bytes = read(max_bytes, _within(timeout, httpcore.ReadTimeout))
        return data

    def bounded_write(buffer: bytes, timeout: float | None = None) -> None:
        # In pieces: each one's waits begin anew, and a reader may be slow.
        for start in range(0, len(buffer), _PIECE_BYTES):
            piece = buffer[start : start + _PIECE_BYTES]
            write(piece, _within(timeout, httpcore.WriteTimeout))

    stream.read, stream.write = bounded_read, bounded_write


def _within(timeout: float | None, late: type[httpcore.TimeoutException]) -> float | None:
    deadline = _sending.get()
    patience = None if deadline is None else deadline.patience_s
    if patience is None:
        return timeout
    if patience <= 0:
        raise late("the call's time is over")
    return patience if timeout is None else min(timeout, patience)
