"""Server-sent events to one client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from agentspark.engine.result import Completion, Delta
from openai_dspark.server.disconnect import ClientGoneError, while_connected
from openai_dspark.server.errors import ApiError
from openai_dspark.wire.body import Reply
from openai_dspark.wire.sampling import StreamOptions

# A client that takes nothing for so long is as good as gone.
_SEND_TIMEOUT_S = 60.0


class EventStream(Response):
    """Sends ``first`` and what ``rest`` yields (whole events, as bytes).

    ``rest`` has been started, and is closed however the response ends.
    """

    media_type = "text/event-stream"

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers={"x-accel-buffering": "no"})  # nginx would collect the events
        del self.headers["content-length"]
        self._first = first
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream, as ASGI says."""
        async with aclosing(self._rest):
            with contextlib.suppress(ClientGoneError, TimeoutError):
                await while_connected(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        await self._send_part(send, self._first)
        async for event in self._rest:
            await self._send_part(send, event)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_part(self, send: Send, part: bytes) -> None:
        async with asyncio.timeout(_SEND_TIMEOUT_S):
            await send({"type": "http.response.body", "body": part, "more_body": True})


def data(payload: bytes, event: str | None = None) -> bytes:
    """One event; JSON never holds a raw newline, so that one line is enough."""
    head = b"" if event is None else b"event: " + event.encode() + b"\n"
    return head + b"data: " + payload + b"\n\n"


DONE = data(b"[DONE]")


class Chunks(Protocol):
    """Makes the chunks of a stream that ends with ``[DONE]``."""

    def push(self, index: int, delta: Delta, /) -> Iterable[Reply]:
        """The chunks of one delta of sequence ``index``."""
        ...

    def usage(self, choices: Sequence[Completion], /) -> Reply:
        """The chunk with the usage."""
        ...


class ChunkEvents:
    """The events of ``chunks``, with one for the usage if that is asked for."""

    def __init__(self, chunks: Chunks, options: StreamOptions | None) -> None:
        self._chunks = chunks
        self._with_usage = options is not None and bool(options.include_usage)

    def push(self, index: int, delta: Delta) -> bytes:
        """The events of one delta."""
        return b"".join(data(chunk.to_json()) for chunk in self._chunks.push(index, delta))

    def end(self, choices: Sequence[Completion]) -> bytes:
        """The last events."""
        usage = data(self._chunks.usage(choices).to_json()) if self._with_usage else b""
        return usage + DONE

    def fail(self, error: ApiError) -> bytes:
        """The error, and the end."""
        return data(error.reply().to_json()) + DONE
