"""A call on an engine of this process: its pieces, its time limit, a fresh engine if need be."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from dataclasses import replace
from typing import TYPE_CHECKING

from agentspark.engine.chat_format import ChatFormat
from agentspark.engine.result import Completion, Delta
from agentspark.errors import (
    EngineClosedError,
    EngineDiedError,
    RequestCancelledError,
    RequestTimeoutError,
)
from langchain_dspark.call import Call
from langchain_dspark.engines import Leases
from langchain_dspark.pieces import CallPiece, Figures, Piece, metadata

if TYPE_CHECKING:
    from agentspark.engine.engine import Engine
    from agentspark.engine.handle import Handle

_GONE = (EngineDiedError, EngineClosedError)


def pieces(leases: Leases, call: Call) -> Generator[Piece, None, None]:
    """The call's pieces that bring something, and the last one.

    Raises the request's error, or ``RequestTimeoutError``. An engine that is gone before the
    first piece is replaced, ``call.max_retries`` times.
    """
    for attempt in range(call.max_retries + 1):
        engine = leases.engine(call.key)
        begun = False
        try:
            with closing(_run(engine, call)) as stream:
                for delta in stream:
                    begun = True
                    if (piece := to_piece(delta)) != _NOTHING:
                        yield piece
            return
        except _GONE:
            leases.discard(call.key, engine)
            if begun or attempt == call.max_retries:
                raise


async def apieces(leases: Leases, call: Call) -> AsyncGenerator[Piece, None]:
    """The same as ``pieces``, without blocking the event loop."""
    for attempt in range(call.max_retries + 1):
        engine = await _engine(leases, call)
        begun = False
        try:
            async with aclosing(_arun(engine, call)) as stream:
                async for delta in stream:
                    begun = True
                    if (piece := to_piece(delta)) != _NOTHING:
                        yield piece
            return
        except _GONE:
            await asyncio.to_thread(leases.discard, call.key, engine)
            if begun or attempt == call.max_retries:
                raise


_NOTHING = Piece()


def to_piece(delta: Delta) -> Piece:
    """An engine's delta as a piece."""
    return Piece(
        content=delta.content,
        reasoning=delta.reasoning,
        calls=[CallPiece(c.index, c.id, c.name, c.arguments) for c in delta.tool_calls],
        figures=None if delta.completion is None else figures(delta.completion),
    )


def figures(completion: Completion) -> Figures:
    """Counts and metadata of a finished request."""
    counts, timings = completion.counts, completion.timings
    return Figures(
        prompt_tokens=counts.prompt_tokens,
        completion_tokens=counts.completion_tokens,
        cached_tokens=counts.cached_tokens,
        reasoning_tokens=counts.reasoning_tokens,
        metadata=metadata(
            model=completion.model,
            finish_reason=completion.finish_reason,
            request_id=completion.request_id,
            drafter=completion.drafter,
            speculation={
                "rounds": counts.rounds,
                "draft_tokens": counts.draft_tokens,
                "verified_tokens": counts.verified_tokens,
                "accepted_tokens": counts.accepted_tokens,
                "accepted_length": counts.accepted_length,
                "accepted_histogram": list(counts.accepted_histogram),
            },
            timings={
                "queue_ms": _ms(timings.queue_s),
                "prefill_ms": _ms(timings.prefill_s),
                "ttft_ms": _ms(timings.ttft_s),
                "decode_ms": _ms(timings.decode_s),
                "total_ms": _ms(timings.total_s),
            },
        ),
    )


def chat_format(call: Call) -> ChatFormat:
    """What the answer may be; ``InvalidRequestError`` names what cannot."""
    return ChatFormat.of(
        tools=call.tools,
        tool_choice=call.tool_choice,
        parallel_tool_calls=call.parallel_tool_calls,
        response_format=call.response_format,
    )


async def _engine(leases: Leases, call: Call) -> Engine:
    """The engine that is held already, or one loaded off the event loop."""
    held = leases.held(call.key)
    return held if held is not None else await asyncio.to_thread(leases.engine, call.key)


def _submit(engine: Engine, call: Call) -> Handle:
    request = engine.chat_request(
        call.messages,
        call.sampling,
        chat=chat_format(call),
        options=call.options,
        labels=call.labels,
    )
    if call.prediction:
        ids = engine.target.tokenizer.encode_continuation(call.prediction)
        request = replace(request, prediction=ids)
    return engine.submit(request)


def _run(engine: Engine, call: Call) -> Generator[Delta, None, None]:
    handle = _submit(engine, call)
    late = threading.Event()

    def stop() -> None:
        late.set()
        handle.cancel()

    timer = None if call.timeout_s is None else threading.Timer(call.timeout_s, stop)
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield from handle
    except RequestCancelledError as error:
        if late.is_set():
            raise _too_late(call) from error
        raise
    finally:
        handle.cancel()
        if timer is not None:
            timer.cancel()


async def _arun(engine: Engine, call: Call) -> AsyncGenerator[Delta, None]:
    from agentspark.engine.events import adelta_stream

    handle = _submit(engine, call)
    late = False

    # As in _run the engine is told to stop: a wait for the next delta that is cut short would also
    # fail where the answer is there in time and its reader is slow.
    def stop() -> None:
        nonlocal late
        late = True
        handle.cancel()

    loop = asyncio.get_running_loop()
    timer = None if call.timeout_s is None else loop.call_later(call.timeout_s, stop)
    try:
        async for delta in adelta_stream(handle):
            yield delta
    except RequestCancelledError as error:
        if late:
            raise _too_late(call) from error
        raise
    finally:
        handle.cancel()
        if timer is not None:
            timer.cancel()


def _too_late(call: Call) -> RequestTimeoutError:
    return RequestTimeoutError(
        f"The call took longer than its timeout of {call.timeout_s:g} s: raise timeout, or ask "
        "for fewer tokens (max_tokens)."
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000.0, 3)
