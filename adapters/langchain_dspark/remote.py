"""A call on a server: its pieces, from the chunks of an OpenAI-compatible stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, closing, contextmanager
from typing import Any, cast

from agentspark.errors import (
    ContextLengthError,
    InvalidRequestError,
    RemoteStatusError,
    RequestTimeoutError,
)
from langchain_dspark.call import Address, Call
from langchain_dspark.clients import Clients
from langchain_dspark.numbering import CallNumbers
from langchain_dspark.pieces import CallPiece, Figures, Piece, metadata
from openai_dspark.client.figures import draft_counts, server_figures, server_times, token_counts
from openai_dspark.client.llama_cpp import Timings, timings_of
from openai_dspark.client.params import ChatParams
from openai_dspark.wire.chat_chunk import ChatChunk
from openai_dspark.wire.metrics import Metrics
from openai_dspark.wire.usage import Usage

_REFUSED = frozenset((400, 404, 413, 415, 422))
_DRAFTS = (
    "rounds",
    "draft_tokens",
    "verified_tokens",
    "accepted_tokens",
    "accepted_length",
    "accepted_histogram",
)


def pieces(clients: Clients, call: Call, address: Address) -> Generator[Piece, None, None]:
    """The call's pieces that bring something, and the last one.

    Errors are those of a call on an engine of this process where the server refuses the request,
    and ``RemoteError`` where it cannot be asked.
    """
    reader = ChunkReader()
    with (
        _as_engine_errors(call),
        closing(
            clients.client(address).chat_stream(
                call.messages,
                model=call.model,
                labels=call.labels,
                timeout=call.timeout_s,
                **params(call),
            )
        ) as chunks,
    ):
        for chunk in chunks:
            if (piece := reader.push(chunk)) != _NOTHING:
                yield piece
        yield reader.last()


async def apieces(clients: Clients, call: Call, address: Address) -> AsyncGenerator[Piece, None]:
    """The same as ``pieces``, for ``async for``."""
    reader = ChunkReader()
    client = await clients.async_client(address)
    with _as_engine_errors(call):
        async with aclosing(
            client.chat_stream(
                call.messages,
                model=call.model,
                labels=call.labels,
                timeout=call.timeout_s,
                **params(call),
            )
        ) as chunks:
            async for chunk in chunks:
                if (piece := reader.push(chunk)) != _NOTHING:
                    yield piece
            yield reader.last()


_NOTHING = Piece()


class ChunkReader:
    """Turns the chunks of one stream into pieces; its figures come with ``last``."""

    def __init__(self) -> None:
        self._seen: ChatChunk | None = None
        self._finish: str | None = None
        # Servers send them with any chunk, some with several.
        self._usage: Usage | None = None
        self._metrics: Metrics | None = None
        self._timings: Timings | None = None
        self._numbers = CallNumbers()

    def push(self, chunk: ChatChunk) -> Piece:
        """What ``chunk`` brings; perhaps nothing."""
        if self._seen is None or not chunk.choices:
            self._seen = chunk
        self._usage = chunk.usage or self._usage
        self._metrics = chunk.metrics or self._metrics
        self._timings = timings_of(chunk) or self._timings
        if not chunk.choices:
            return _NOTHING
        choice = chunk.choices[0]
        self._finish = choice.finish_reason or self._finish
        calls = [
            CallPiece(
                self._numbers.of(call),
                call.id,
                None if call.function is None else call.function.name,
                (None if call.function is None else call.function.arguments) or "",
            )
            for call in choice.delta.tool_calls or ()
        ]
        return Piece(choice.delta.content or "", choice.delta.reasoning_content or "", calls)

    def last(self) -> Piece:
        """The last piece; what the server did not say is ``None``."""
        chunk = self._seen
        if chunk is None:
            raise RemoteStatusError("The server ended the stream without an answer.", status=None)
        own, usage, timings = server_figures(self._metrics), self._usage, self._timings
        drafts = {
            **dict.fromkeys(_DRAFTS),
            **draft_counts(self._metrics, usage, 1, timings),
            "accepted_length": own.accepted_length,
        }
        return Piece(
            figures=Figures(
                **token_counts(usage, timings),
                metadata=metadata(
                    model=chunk.model,
                    finish_reason=self._finish,
                    request_id=chunk.id,
                    drafter=own.drafter,
                    speculation=drafts,
                    timings={**server_times(self._metrics, timings), "total_ms": own.total_ms},
                ),
            )
        )


def params(call: Call) -> ChatParams:
    """The call's fields by the API's names; those left alone are not sent."""
    options = call.options_given
    sampling = dict(call.sampling_given)
    if "logit_bias" in sampling:
        sampling["logit_bias"] = {str(token): bias for token, bias in sampling["logit_bias"]}
    acceleration = {name: options[name] for name in _ACCELERATION if name in options}
    prediction = {"type": "content", "content": call.prediction} if call.prediction else None
    found: dict[str, Any] = {
        **sampling,
        "stop": list(call.sampling.stop) or None,
        "tools": call.tools,
        "tool_choice": call.tool_choice,
        "parallel_tool_calls": call.parallel_tool_calls,
        "response_format": call.response_format,
        "prediction": prediction,
        "cache_salt": options.get("cache_salt"),
        "agentspark": acceleration or None,
    }
    return cast("ChatParams", {name: value for name, value in found.items() if value is not None})


_ACCELERATION = ("speculation", "verify", "share_prefix")


@contextmanager
def _as_engine_errors(call: Call) -> Iterator[None]:
    """What a server refuses is refused as by an engine of this process."""
    try:
        yield
    except RemoteStatusError as error:
        if error.code == "context_length_exceeded":
            raise ContextLengthError(str(error), param=error.param) from error
        if error.code == "deadline_exceeded" and call.timeout_s is not None:
            raise RequestTimeoutError(
                f"The call took longer than its timeout of {call.timeout_s:g} s: raise timeout, "
                "or ask for fewer tokens (max_tokens)."
            ) from error
        if error.status in _REFUSED:
            raise InvalidRequestError(str(error), param=error.param) from error
        raise
