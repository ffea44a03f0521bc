"""One API call while the engine works on it: its sequences, its place, its deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TYPE_CHECKING

from agentspark.engine.handle import Event, Handle
from agentspark.engine.result import Completion, Delta
from agentspark.errors import RequestCancelledError
from openai_dspark.server.errors import ApiError, to_api_error

if TYPE_CHECKING:
    from openai_dspark.server.metrics import Meters


class Call:
    """The running sequences of one request. ``close`` it, however it ends; it may be twice.

    ``deadline`` is in the event loop's time, ``prompt`` the API's name for the prompt;
    ``on_completion`` gets every finished sequence before it is given out, ``on_close`` gives the
    call's places back.
    """

    def __init__(
        self,
        handles: Sequence[Handle],
        *,
        deadline: float,
        timeout_s: float,
        arm: str | None,
        prompt: str,
        meters: Meters,
        on_completion: Callable[[Completion], None] | None,
        on_close: Callable[[], None],
    ) -> None:
        self.handles = list(handles)
        self.completions: list[Completion | None] = [None] * len(self.handles)
        self._deadline = deadline
        self._timeout_s = timeout_s
        self._arm = arm
        self._prompt = prompt
        self._meters = meters
        # What becomes of the sequences that do not reach their end.
        self._fates = ["cancelled"] * len(self.handles)
        self._on_completion = on_completion
        self._on_close: Callable[[], None] | None = on_close
        self._stopped: ApiError | None = None
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        for index, handle in enumerate(self.handles):
            handle.redirect(self._sink(index, handle))

    async def deltas(self) -> AsyncGenerator[tuple[int, Delta], None]:
        """Every sequence's deltas with its number, in order of arrival, to the end of all.

        Raises ``ApiError``: a sequence's error, 504 after the deadline, or what ``stop`` was given.
        """
        left = len(self.handles)
        while left:
            index, delta = await self._next()
            if delta.completion is not None:
                left -= 1
                self.completions[index] = delta.completion
                self._meters.finished(delta.completion)
                if self._on_completion is not None:
                    self._on_completion(delta.completion)
            yield index, delta

    async def finish(self) -> None:
        """Wait for all sequences; raises what ``deltas`` raises."""
        async for _ in self.deltas():
            pass

    @property
    def number(self) -> str:
        """What sets the ids of this call's answer apart."""
        return self.handles[0].request_id.removeprefix("req-")

    @property
    def finished(self) -> list[Completion]:
        """The completions of the sequences that have ended; all of them after ``finish``."""
        return [completion for completion in self.completions if completion is not None]

    def stop(self, error: ApiError) -> None:
        """End the call with ``error``: the server stops."""
        self._stopped = error
        for handle in self.handles:
            handle.cancel()

    def close(self) -> None:
        """Cancel what still runs and give the places back."""
        if self._on_close is None:
            return
        self._on_close()
        self._on_close = None
        for handle, completion, fate in zip(
            self.handles, self.completions, self._fates, strict=True
        ):
            handle.cancel()
            if completion is None:
                self._meters.failed(self._arm, fate)

    async def _next(self) -> tuple[int, Delta]:
        try:
            async with asyncio.timeout_at(self._deadline):
                index, event = await self._events.get()
        except TimeoutError as error:
            self._fates = ["deadline"] * len(self.handles)
            raise ApiError(
                504,
                f"The answer was not complete within {self._timeout_s:g} s: ask for fewer tokens.",
                code="deadline_exceeded",
            ) from error
        if isinstance(event, BaseException):
            if not isinstance(event, RequestCancelledError):
                self._fates[index] = "error"
            if self._stopped is not None and isinstance(event, RequestCancelledError):
                raise self._stopped from event
            raise to_api_error(event, self._prompt) from event
        return index, event

    def _sink(self, index: int, handle: Handle) -> Callable[[Event], None]:
        def deliver(event: Event) -> None:
            try:
                self._loop.call_soon_threadsafe(self._events.put_nowait, (index, event))
            except RuntimeError:  # the event loop is closed
                handle.cancel()

        return deliver
