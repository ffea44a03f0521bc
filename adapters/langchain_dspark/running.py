"""A call on its engine: its deltas, its time limit, and a fresh engine where one died."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from typing import TYPE_CHECKING

from agentspark.engine.result import Completion, Delta
from agentspark.errors import (
    EngineClosedError,
    EngineDiedError,
    RequestCancelledError,
    RequestTimeoutError,
)
from langchain_dspark.call import Call
from langchain_dspark.engines import Leases

if TYPE_CHECKING:
    from agentspark.engine.engine import Engine
    from agentspark.engine.handle import Handle

_GONE = (EngineDiedError, EngineClosedError)


def finish(leases: Leases, call: Call) -> Completion:
    """Run ``call`` to its end."""
    completion = None
    for delta in deltas(leases, call):
        completion = delta.completion
    return _complete(completion)


async def afinish(leases: Leases, call: Call) -> Completion:
    """Run ``call`` to its end."""
    completion = None
    async for delta in adeltas(leases, call):
        completion = delta.completion
    return _complete(completion)


def deltas(leases: Leases, call: Call) -> Generator[Delta, None, None]:
    """The call's deltas that bring text, and the last one.

    Raises the request's error, or ``RequestTimeoutError``. An engine that is gone before the
    first delta is replaced, ``call.max_retries`` times.
    """
    for attempt in range(call.max_retries + 1):
        engine = leases.engine(call.key)
        begun = False
        try:
            with closing(_run(engine, call)) as stream:
                for delta in stream:
                    begun = True
                    if delta.text or delta.completion is not None:
                        yield delta
            return
        except _GONE:
            leases.discard(call.key, engine)
            if begun or attempt == call.max_retries:
                raise


async def adeltas(leases: Leases, call: Call) -> AsyncGenerator[Delta, None]:
    """The same as ``deltas``, without blocking the event loop."""
    for attempt in range(call.max_retries + 1):
        engine = await _engine(leases, call)
        begun = False
        try:
            async with aclosing(_arun(engine, call)) as stream:
                async for delta in stream:
                    begun = True
                    if delta.text or delta.completion is not None:
                        yield delta
            return
        except _GONE:
            await asyncio.to_thread(leases.discard, call.key, engine)
            if begun or attempt == call.max_retries:
                raise


async def _engine(leases: Leases, call: Call) -> Engine:
    """The engine that is held already, or one loaded off the event loop."""
    held = leases.held(call.key)
    return held if held is not None else await asyncio.to_thread(leases.engine, call.key)


def _submit(engine: Engine, call: Call) -> Handle:
    from agentspark.engine.request import Request

    return engine.submit(
        Request(
            prompt_token_ids=engine.target.tokenizer.encode_chat(call.messages),
            sampling=call.sampling,
            options=call.options,
            labels=call.labels,
        )
    )


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
    stream = adelta_stream(handle)
    ends = None if call.timeout_s is None else time.monotonic() + call.timeout_s
    try:
        while True:
            left = None if ends is None else max(0.0, ends - time.monotonic())
            try:
                delta = await asyncio.wait_for(anext(stream), left)
            except TimeoutError as error:
                raise _too_late(call) from error
            yield delta
            if delta.completion is not None:
                return
    finally:
        handle.cancel()


def _too_late(call: Call) -> RequestTimeoutError:
    return RequestTimeoutError(
        f"The call took longer than its timeout of {call.timeout_s:g} s: raise timeout, or ask "
        "for fewer tokens (max_tokens)."
    )


def _complete(completion: Completion | None) -> Completion:
    if completion is None:
        raise EngineDiedError("The engine ended a request without a result: please report this.")
    return completion
