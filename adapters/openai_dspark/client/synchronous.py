"""The client for ordinary code."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

import httpx
from tenacity import Retrying

from agentspark.engine.params import Labels
from agentspark.trace.recorder import Recorder
from openai_dspark.client.deadline import Deadline
from openai_dspark.client.ending import Endings, read_to_end
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
from openai_dspark.client.order import Order
from openai_dspark.client.params import ChatParams, CompletionParams
from openai_dspark.client.per_process import PerProcess
from openai_dspark.client.sending import send
from openai_dspark.client.settings import DEFAULT_URL, ClientSettings
from openai_dspark.client.tracing import Traced, Tracing
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

    ``trace`` names a file (or is an open ``Recorder``) that gets one line per call, retries
    included in its time, whatever server it is; what a server does not tell is ``None`` there.
    ``agentspark compare -- ...`` names its own file.
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
        trace: Recorder | str | Path | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.settings = ClientSettings.of(base_url, api_key, timeout, max_retries, headers)
        self.model = model
        self._tracing = Tracing(trace)
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
        ask = self._tracing.ask(model or self.model, labels, timeout)
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
        ask = self._tracing.ask(model or self.model, labels, timeout, stream=True)
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
        ask = self._tracing.ask(model or self.model, labels, timeout)
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
        ask = self._tracing.ask(model or self.model, labels, timeout, stream=True)
        return self._stream(ask.completion(prompt, params), TextCompletion)

    def models(self) -> list[Model]:
        """The models of the server."""
        return self._ask(Order("GET", "/models"), ModelList).data

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._tracing.close()

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
        with self._tracing.call(order) as call:
            for attempt in Retrying(**retrying(self.settings.max_retries, deadline)):
                with attempt, closing(self._send(order, deadline)) as response:
                    call.heard(response)
                    answer = answer_of(kind, self._read(response, deadline))
                    call.add(answer)
                    return answer
        raise AssertionError("tenacity gives a result or an error")

    def _stream(self, order: Order, kind: type[Chunk]) -> Generator[Chunk, None, None]:
        deadline = self._begin(order)
        with self._tracing.call(order) as call, ExitStack() as opened:
            # Not tried again from here on: the caller has seen a part of the answer.
            for chunk in chain(*self._open(order, kind, deadline, call, opened)):
                call.add(chunk)
                yield chunk

    def _open(
        self, order: Order, kind: type[Chunk], deadline: Deadline, call: Traced, opened: ExitStack
    ) -> tuple[list[Chunk], Generator[Chunk, None, None]]:
        """The chunks up to the first token, and the rest; ``opened`` ends the stream."""
        for attempt in Retrying(**retrying(self.settings.max_retries, deadline)):
            with attempt, ExitStack() as trying:
                response = trying.enter_context(closing(self._send(order, deadline)))
                call.heard(response)
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
        """The chunks up to ``[DONE]`` or the end of all choices; an error among them is raised."""
        start: bytes | None = b""
        endings = Endings()
        decoder, parts = EventDecoder(), response.iter_bytes()
        with deadline.hanging_up(response), http_errors(deadline, self._http):
            for part in parts:
                start = None if start is None else (start + part)[:START_BYTES]
                for event in decoder.push(part):
                    start = None
                    if event == DONE:
                        read_to_end(response, parts)
                        return
                    yield endings.take(answer_of(kind, event))
        if not endings.whole:
            raise cut(deadline, response, start)
