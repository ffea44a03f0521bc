"""The client for ordinary code."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from types import TracebackType
from typing import Any, Self, Unpack

import httpx
from tenacity import Retrying

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


class Client:
    """Calls an OpenAI-compatible server over a pool of connections. Thread-safe.

    ``timeout`` is in seconds and bounds each wait for data. A call that fails for a passing reason
    (408, 409, 429, 5xx, no connection) is tried ``max_retries`` times more, a stream until its
    first token. Errors are ``RemoteStatusError`` and ``RemoteConnectionError``.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        model: str | None = None,
        timeout: float = 600.0,
        max_retries: int = 2,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.settings = ClientSettings.of(base_url, api_key, timeout, max_retries, headers)
        self.model = model
        self._http = httpx.Client(headers=self.settings.default_headers, transport=transport)

    def chat(
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
        return self._ask(ask.chat(messages, params), ChatCompletion)

    def chat_stream(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        labels: Labels | None = None,
        timeout: float | None = None,
        **params: Unpack[ChatParams],
    ) -> Generator[ChatChunk, None, None]:
        """Answer a chat chunk by chunk; closing the generator cancels the request."""
        ask = Ask(model=model or self.model, labels=labels, timeout_s=timeout, stream=True)
        return self._stream(ask.chat(messages, params), ChatChunk)

    def complete(
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
        return self._ask(ask.completion(prompt, params), TextCompletion)

    def complete_stream(
        self,
        prompt: str | Sequence[int],
        *,
        model: str | None = None,
        labels: Labels | None = None,
        timeout: float | None = None,
        **params: Unpack[CompletionParams],
    ) -> Generator[TextCompletion, None, None]:
        """Continue a prompt chunk by chunk; closing the generator cancels the request."""
        ask = Ask(model=model or self.model, labels=labels, timeout_s=timeout, stream=True)
        return self._stream(ask.completion(prompt, params), TextCompletion)

    def models(self) -> list[Model]:
        """The models of the server."""
        return self._ask(Order("GET", "/models"), ModelList).data

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, order: Order, kind: type[Answer]) -> Answer:
        for attempt in Retrying(**retrying(self.settings.max_retries)):
            with attempt:
                return answer_of(kind, self._send(order).content)
        raise AssertionError("tenacity gives a result or an error")

    def _stream(self, order: Order, kind: type[Answer]) -> Generator[Answer, None, None]:
        with ExitStack() as opened:
            # Not tried again from here on: the caller has seen a part of the answer.
            first, rest = self._open(order, kind, opened)
            if first is not None:
                yield first
                yield from rest

    def _open(
        self, order: Order, kind: type[Answer], opened: ExitStack
    ) -> tuple[Answer | None, Iterator[Answer]]:
        """The first chunk (``None`` if there is none) and the rest; ``opened`` ends the stream."""
        for attempt in Retrying(**retrying(self.settings.max_retries)):
            with attempt, ExitStack() as trying:
                response = self._send(order, stream=True)
                trying.callback(response.close)
                chunks = _chunks(response, kind)
                first = next(chunks, None)
                opened.push(trying.pop_all())
                return first, chunks
        raise AssertionError("tenacity gives a result or an error")

    def _send(self, order: Order, *, stream: bool = False) -> httpx.Response:
        """The response to one attempt, unread if ``stream``; an error status is raised."""
        request = self._http.build_request(
            order.method,
            self.settings.base_url + order.path,
            content=order.body,
            headers=order.headers,
            timeout=self.settings.timeout(order.timeout_s),
        )
        try:
            response = self._http.send(request, stream=stream)
            if not response.is_success:
                with closing(response):
                    response.read()
                raise status_error(response)
        except httpx.HTTPError as error:
            raise connection_error(error) from error
        return response


def _chunks(response: httpx.Response, kind: type[Answer]) -> Iterator[Answer]:
    """The chunks up to ``[DONE]``; an error among them is raised."""
    decoder = EventDecoder()
    try:
        for part in response.iter_bytes():
            for event in decoder.push(part):
                if event == DONE:
                    return
                yield answer_of(kind, event)
    except httpx.HTTPError as error:
        raise connection_error(error) from error
    raise RemoteConnectionError("The stream ended before it was complete.")
