"""Transports for httpx that record what other clients ask of a server: the openai package, say.

OpenAI(base_url=..., http_client=httpx.Client(transport=TracingTransport("traces/mine.jsonl")))
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import httpx

from agentspark.trace.recorder import Recorder
from openai_dspark.client.exchange import Exchange
from openai_dspark.client.tracing import Traced, Tracing


class TracingTransport(httpx.BaseTransport):
    """Records every chat, completion and response that passes.

    ``trace`` as of ``Client``, and so is what a comparison says: the arm and the run go along as
    headers where the caller has none. A try that fails before its answer begins is not recorded:
    clients try again. ``transport`` does the sending (httpx's own if it is ``None``).
    """

    def __init__(
        self,
        trace: Recorder | str | Path | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._tracing = Tracing(trace)
        self._transport = httpx.HTTPTransport() if transport is None else transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send ``request``; the response's body is watched."""
        request.read()
        exchange = self._tracing.exchange(request)
        response = self._transport.handle_request(request)
        if exchange is not None and response.is_success:
            watch = _Watch(self._tracing, exchange, response)
            if not watch.had(response):
                watched = cast("httpx.SyncByteStream", response.stream)
                response.stream = _Watched(watched, watch)
        return response

    def close(self) -> None:
        """Close the connections and the file."""
        self._transport.close()
        self._tracing.close()


class AsyncTracingTransport(httpx.AsyncBaseTransport):
    """``TracingTransport`` for ``httpx.AsyncClient``."""

    def __init__(
        self,
        trace: Recorder | str | Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._tracing = Tracing(trace)
        self._transport = httpx.AsyncHTTPTransport() if transport is None else transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send ``request``; the response's body is watched."""
        await request.aread()
        exchange = self._tracing.exchange(request)
        response = await self._transport.handle_async_request(request)
        if exchange is not None and response.is_success:
            watch = _Watch(self._tracing, exchange, response)
            if not watch.had(response):
                watched = cast("httpx.AsyncByteStream", response.stream)
                response.stream = _AsyncWatched(watched, watch)
        return response

    async def aclose(self) -> None:
        """Close the connections and the file."""
        await self._transport.aclose()
        self._tracing.close()


class _Watch:
    """Hands the body's bytes to the exchange, and its record to the file, once."""

    def __init__(self, tracing: Tracing, exchange: Exchange, response: httpx.Response) -> None:
        self._tracing, self._exchange = tracing, exchange
        self._traced: Traced | None = tracing.begun(exchange.account, response, exchange.url)

    def had(self, response: httpx.Response) -> bool:
        """Take in a body that was read already, whose stream nobody will read; tell if it was."""
        try:
            content = response.content
        except httpx.ResponseNotRead:
            return False
        self.add(content)
        self.end()
        return True

    @contextmanager
    def failing(self) -> Iterator[None]:
        """What goes wrong within ends the record."""
        try:
            yield
        except BaseException as error:
            self._write(error)
            raise

    def add(self, part: bytes) -> None:
        self._exchange.add(part)

    def end(self) -> None:
        self._exchange.end()
        self._write(None)

    def close(self) -> None:
        self._write(GeneratorExit())

    def _write(self, error: BaseException | None) -> None:
        traced, self._traced = self._traced, None
        if isinstance(error, GeneratorExit) and self._exchange.done:
            error = None  # whoever has it all need not read the end
        error = error or self._exchange.failure
        if traced is not None:
            self._tracing.write(traced, error)


class _Watched(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, watch: _Watch) -> None:
        self._stream, self._watch = stream, watch

    def __iter__(self) -> Iterator[bytes]:
        with self._watch.failing():
            for part in self._stream:
                self._watch.add(part)
                yield part
        self._watch.end()

    def close(self) -> None:
        self._stream.close()
        self._watch.close()


class _AsyncWatched(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, watch: _Watch) -> None:
        self._stream, self._watch = stream, watch

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with self._watch.failing():
            async for part in self._stream:
                self._watch.add(part)
                yield part
        self._watch.end()

    async def aclose(self) -> None:
        await self._stream.aclose()
        self._watch.close()
