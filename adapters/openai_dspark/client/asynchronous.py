"""The client for asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self, Unpack

import httpx
from tenacity import AsyncRetrying

from agentspark.engine.params import Labels
from agentspark.errors import RemoteConnectionError
from openai_dspark.client.events import DONE, EventDecoder
from openai_dspark.client.failures import (
    Answer,
    answer_of,
    connection_error,
    retrying,
    status_error,
)
from openai_dspark.client.order import Ask, Order
from openai_dspark.client.params import ChatParams, CompletionParams
from openai_dspark.client.settings import DEFAULT_URL, ClientSettings
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
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.settings = ClientSettings.of(base_url, api_key, timeout, max_retries, headers)
        self.model = model
        self._http = httpx.AsyncClient(headers=self.settings.default_headers, transport=transport)

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
        ask = Ask(model=model or self.model, labels=labels, timeout_s=timeout)
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
        ask = Ask(model=model or self.model, labels=labels, timeout_s=timeout, stream=True)
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
        ask = Ask(model=model or self.model, labels=labels, timeout_s=timeout)
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
        ask = Ask(model=model or self.model, labels=labels, timeout_s=timeout, stream=True)
        return self._stream(ask.completion(prompt, params), TextCompletion)

    async def models(self) -> list[Model]:
        """The models of the server."""
        return (await self._ask(Order("GET", "/models"), ModelList)).data

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

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
        async for attempt in AsyncRetrying(**retrying(self.settings.max_retries)):
            with attempt:
                return answer_of(kind, (await self._send(order)).content)
        raise AssertionError("tenacity gives a result or an error")

    async def _stream(self, order: Order, kind: type[Answer]) -> AsyncGenerator[Answer, None]:
        async with AsyncExitStack() as opened:
            # Not tried again from here on: the caller has seen a part of the answer.
            first, rest = await self._open(order, kind, opened)
            if first is not None:
                yield first
                async for chunk in rest:
                    yield chunk

    async def _open(
        self, order: Order, kind: type[Answer], opened: AsyncExitStack
    ) -> tuple[Answer | None, AsyncIterator[Answer]]:
        """The first chunk (``None`` if there is none) and the rest; ``opened`` ends the stream."""
        async for attempt in AsyncRetrying(**retrying(self.settings.max_retries)):
            with attempt:
                async with AsyncExitStack() as trying:
                    response = await self._send(order, stream=True)
                    trying.push_async_callback(response.aclose)
                    chunks = _chunks(response, kind)
                    first = await anext(chunks, None)
                    opened.push_async_exit(trying.pop_all())
                    return first, chunks
        raise AssertionError("tenacity gives a result or an error")

    async def _send(self, order: Order, *, stream: bool = False) -> httpx.Response:
        """The response to one attempt, unread if ``stream``; an error status is raised."""
        request = self._http.build_request(
            order.method,
            self.settings.base_url + order.path,
            content=order.body,
            headers=order.headers,
            timeout=self.settings.timeout(order.timeout_s),
        )
        try:
            response = await self._http.send(request, stream=stream)
            if not response.is_success:
                try:
                    await response.aread()
                finally:
                    await response.aclose()
                raise status_error(response)
        except httpx.HTTPError as error:
            raise connection_error(error) from error
        return response


async def _chunks(response: httpx.Response, kind: type[Answer]) -> AsyncIterator[Answer]:
    """The chunks up to ``[DONE]``; an error among them is raised."""
    decoder = EventDecoder()
    try:
        async for part in response.aiter_bytes():
            for event in decoder.push(part):
                if event == DONE:
                    return
                yield answer_of(kind, event)
    except httpx.HTTPError as error:
        raise connection_error(error) from error
    raise RemoteConnectionError("The stream ended before it was complete.")
