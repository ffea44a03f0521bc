"""The client for asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

import httpx
from tenacity import AsyncRetrying

from agentspark.engine.params import Labels
from agentspark.trace.recorder import Recorder
from openai_dspark.client.deadline import Deadline
from openai_dspark.client.ending import Endings, aread_to_end
from openai_dspark.client.events import DONE, EventDecoder
from openai_dspark.client.failures import (
    START_BYTES,
    Answer,
    answer_of,
    closed,
    cut,
    http_errors,
    retrying,
    status_error,
)
from openai_dspark.client.opening import Chunk, aopening
from openai_dspark.client.order import Order
from openai_dspark.client.params import ChatParams, CompletionParams
from openai_dspark.client.per_process import PerProcess
from openai_dspark.client.sending import asend
from openai_dspark.client.settings import DEFAULT_URL, ClientSettings
from openai_dspark.client.tracing import Traced, Tracing
from openai_dspark.wire.chat_chunk import ChatChunk
from openai_dspark.wire.chat_reply import ChatCompletion
from openai_dspark.wire.completion_reply import TextCompletion
from openai_dspark.wire.model import Model, ModelList


class AsyncClient:
    """``Client`` for ``await`` and ``async for``; cancelling a task cancels its request."""

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        model: str | None = None,
        timeout: float = 600.0,
        max_retries: int = 2,
        headers: Mapping[str, str] | None = None,
        trace: Recorder | str | Path | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.settings = ClientSettings.of(base_url, api_key, timeout, max_retries, headers)
        self.model = model
        self._tracing = Tracing(trace)
        self._opened = PerProcess(
            lambda: httpx.AsyncClient(
                headers=self.settings.default_headers,
                limits=self.settings.limits,
                transport=transport,
            )
        )

    @property
    def _http(self) -> httpx.AsyncClient:
        return self._opened.get()

    async def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        labels: Labels | None = None,
        timeout: float | None = None,
        **params: Unpack[ChatParams],
    ) -> ChatCompletion:
        """Answer a chat."""
        ask = self._tracing.ask(model or self.model, labels, timeout)
        return await self._ask(ask.chat(messages, params), ChatCompletion)

    def chat_stream(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        labels: Labels | None = None,
        timeout: float | None = None,
        **params: Unpack[ChatParams],
    ) -> AsyncGenerator[ChatChunk, None]:
        """Answer a chat chunk by chunk; closing the generator cancels the request."""
        ask = self._tracing.ask(model or self.model, labels, timeout, stream=True)
        return self._stream(ask.chat(messages, params), ChatChunk)

    async def complete(
        self,
        prompt: str | Sequence[int],
        *,
        model: str | None = None,
        labels: Labels | None = None,
        timeout: float | None = None,
        **params: Unpack[CompletionParams],
    ) -> TextCompletion:
        """Continue a prompt."""
        ask = self._tracing.ask(model or self.model, labels, timeout)
        return await self._ask(ask.completion(prompt, params), TextCompletion)

    def complete_stream(
        self,
        prompt: str | Sequence[int],
        *,
        model: str | None = None,
        labels: Labels | None = None,
        timeout: float | None = None,
        **params: Unpack[CompletionParams],
    ) -> AsyncGenerator[TextCompletion, None]:
        """Continue a prompt chunk by chunk; closing the generator cancels the request."""
        ask = self._tracing.ask(model or self.model, labels, timeout, stream=True)
        return self._stream(ask.completion(prompt, params), TextCompletion)

    async def models(self) -> list[Model]:
        """The models of the server."""
        return (await self._ask(Order("GET", "/models"), ModelList)).data

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        self._tracing.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _ask(self, order: Order, kind: type[Answer]) -> Answer:
        deadline = self._begin(order)
        with self._tracing.call(order) as call:
            async for attempt in AsyncRetrying(**retrying(self.settings.max_retries, deadline)):
                with attempt:
                    response = await self._send(order, deadline)
                    call.heard(response)
                    try:
                        answer = answer_of(kind, await self._read(response, deadline))
                    finally:
                        await response.aclose()
                    call.add(answer)
                    return answer
        raise AssertionError("tenacity gives a result or an error")

    async def _stream(self, order: Order, kind: type[Chunk]) -> AsyncGenerator[Chunk, None]:
        deadline = self._begin(order)
        with self._tracing.call(order) as call:
            async with AsyncExitStack() as opened:
                # Not tried again from here on: the caller has seen a part of the answer.
                first, rest = await self._open(order, kind, deadline, call, opened)
                for chunk in first:
                    call.add(chunk)
                    yield chunk
                async for chunk in rest:
                    call.add(chunk)
                    yield chunk

    async def _open(
        self,
        order: Order,
        kind: type[Chunk],
        deadline: Deadline,
        call: Traced,
        opened: AsyncExitStack,
    ) -> tuple[list[Chunk], AsyncGenerator[Chunk, None]]:
        """The chunks up to the first token, and the rest; ``opened`` ends the stream."""
        async for attempt in AsyncRetrying(**retrying(self.settings.max_retries, deadline)):
            with attempt:
                async with AsyncExitStack() as trying:
                    response = await self._send(order, deadline)
                    call.heard(response)
                    trying.push_async_callback(response.aclose)
                    chunks = self._chunks(response, kind, deadline)
                    await trying.enter_async_context(aclosing(chunks))
                    first = await aopening(chunks)
                    opened.push_async_exit(trying.pop_all())
                    return first, chunks
        raise AssertionError("tenacity gives a result or an error")

    def _begin(self, order: Order) -> Deadline:
        """The time of a call that begins now."""
        if self._http.is_closed:
            raise closed()
        return Deadline(order.timeout_s)

    async def _send(self, order: Order, deadline: Deadline) -> httpx.Response:
        """The unread response to one attempt; an error status is raised."""
        request = self._http.build_request(
            order.method,
            self.settings.base_url + order.path,
            content=order.body,
            headers=order.headers_in(deadline.left_s),
            timeout=self.settings.timeout(deadline),
        )
        with http_errors(deadline, self._http):
            response = await asend(self._http, request, deadline)
        if not response.is_success:
            try:
                await self._read(response, deadline)
            finally:
                await response.aclose()
            raise status_error(response)
        return response

    async def _read(self, response: httpx.Response, deadline: Deadline) -> bytes:
        with deadline.hanging_up_in_loop(response), http_errors(deadline, self._http):
            content = await response.aread()
        if deadline.hung_up:
            raise deadline.error()
        return content

    async def _chunks(
        self, response: httpx.Response, kind: type[Chunk], deadline: Deadline
    ) -> AsyncGenerator[Chunk, None]:
        """The chunks up to ``[DONE]`` or the end of all choices; an error among them is raised."""
        start: bytes | None = b""
        endings = Endings()
        decoder, parts = EventDecoder(), response.aiter_bytes()
        with deadline.hanging_up_in_loop(response), http_errors(deadline, self._http):
            async for part in parts:
                start = None if start is None else (start + part)[:START_BYTES]
                for event in decoder.push(part):
                    start = None
                    if event == DONE:
                        await aread_to_end(parts)
                        return
                    yield endings.take(answer_of(kind, event))
        if not endings.whole:
            raise cut(deadline, response, start)
