"""The client for ordinary code."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from types import TracebackType
from typing import Any, Self, Unpack

import httpx
from tenacity import Retrying

from agentspark.engine.params import Labels
from openai_dspark.client.deadline import Deadline
from openai_dspark.client.ending import read_to_end
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
from openai_dspark.client.opening import Chunk, opening
from openai_dspark.client.order import Ask, Order
from openai_dspark.client.params import ChatParams, CompletionParams
from openai_dspark.client.per_process import PerProcess
from openai_dspark.client.sending import send
from openai_dspark.client.settings import DEFAULT_URL, ClientSettings
from openai_dspark.wire.chat_chunk import ChatChunk
from openai_dspark.wire.chat_reply import ChatCompletion
from openai_dspark.wire.completion_reply import TextCompletion
from openai_dspark.wire.model import Model, ModelList


class Client:
    """Calls an OpenAI-compatible server over a pool of connections. Thread-safe.

    ``timeout`` is in seconds and bounds each wait for data; that of a call bounds the whole call
    instead, tries and waits included (``RequestTimeoutError``). The server is told and ends the
    request itself (``RemoteStatusError``, code ``deadline_exceeded``), for which it has two
    seconds more. A call that fails for a passing reason (408, 409, 429, 5xx, no connection) is
    tried ``max_retries`` times more, a stream until its first token. Other errors are
    ``RemoteStatusError`` and ``RemoteConnectionError``; ``ConfigError`` for settings and
    ``InvalidRequestError`` for what cannot be sent.
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
        self._opened = PerProcess(
            lambda: httpx.Client(
                headers=self.settings.default_headers,
                limits=self.settings.limits,
                transport=transport,
            )
        )

    @property
    def _http(self) -> httpx.Client:
        return self._opened.get()

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
        deadline = self._begin(order)
        for attempt in Retrying(**retrying(self.settings.max_retries, deadline)):
            with attempt, closing(self._send(order, deadline)) as response:
                return answer_of(kind, self._read(response, deadline))
        raise AssertionError("tenacity gives a result or an error")

    def _stream(self, order: Order, kind: type[Chunk]) -> Generator[Chunk, None, None]:
        with ExitStack() as opened:
            # Not tried again from here on: the caller has seen a part of the answer.
            first, rest = self._open(order, kind, opened)
            yield from first
            yield from rest

    def _open(
        self, order: Order, kind: type[Chunk], opened: ExitStack
    ) -> tuple[list[Chunk], Generator[Chunk, None, None]]:
        """The chunks up to the first token, and the rest; ``opened`` ends the stream."""
        deadline = self._begin(order)
        for attempt in Retrying(**retrying(self.settings.max_retries, deadline)):
            with attempt, ExitStack() as trying:
                response = trying.enter_context(closing(self._send(order, deadline)))
                chunks = trying.enter_context(closing(self._chunks(response, kind, deadline)))
                first = opening(chunks)
                opened.push(trying.pop_all())
                return first, chunks
        raise AssertionError("tenacity gives a result or an error")

    def _begin(self, order: Order) -> Deadline:
        """The time of a call that begins now."""
        if self._http.is_closed:
            raise closed()
        return Deadline(order.timeout_s)

    def _send(self, order: Order, deadline: Deadline) -> httpx.Response:
        """The unread response to one attempt; an error status is raised."""
        request = self._http.build_request(
            order.method,
            self.settings.base_url + order.path,
            content=order.body,
            headers=order.headers_in(deadline.left_s),
            timeout=self.settings.timeout(deadline),
        )
        with http_errors(deadline, self._http):
            response = send(self._http, request, deadline)
        if not response.is_success:
            with closing(response):
                self._read(response, deadline)
            raise status_error(response)
        return response

    def _read(self, response: httpx.Response, deadline: Deadline) -> bytes:
        with deadline.hanging_up(response), http_errors(deadline, self._http):
            content = response.read()
        if deadline.hung_up:
            raise deadline.error()
        return content

    def _chunks(
        self, response: httpx.Response, kind: type[Chunk], deadline: Deadline
    ) -> Generator[Chunk, None, None]:
        """The chunks up to ``[DONE]``; an error among them is raised."""
        start: bytes | None = b""
        decoder, parts = EventDecoder(), response.iter_bytes()
        with deadline.hanging_up(response), http_errors(deadline, self._http):
            for part in parts:
                start = None if start is None else (start + part)[:START_BYTES]
                for event in decoder.push(part):
                    start = None
                    if event == DONE:
                        read_to_end(response, parts)
                        return
                    yield answer_of(kind, event)
        raise cut(deadline, response, start)
