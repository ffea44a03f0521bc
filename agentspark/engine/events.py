"""Deltas for ``async for``: from the loop's thread into an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from agentspark.engine.handle import Event, Handle
from agentspark.engine.result import Delta


async def adelta_stream(handle: Handle) -> AsyncIterator[Delta]:
    """A handle's deltas; raises its error. Leaving the iteration cancels the request."""
    loop = asyncio.get_running_loop()
    events: asyncio.Queue[Event] = asyncio.Queue()

    def deliver(event: Event) -> None:
        try:
            loop.call_soon_threadsafe(events.put_nowait, event)
        except RuntimeError:
            # The event loop is closed: nobody listens any more.
            handle.cancel()

    handle.redirect(deliver)
    try:
        while True:
            event = await events.get()
            if isinstance(event, BaseException):
                raise event
            yield event
            if event.completion is not None:
                return
    finally:
        handle.cancel()
