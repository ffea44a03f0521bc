"""The caller's end of a running request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

from agentspark.engine.params import Labels
from agentspark.engine.result import Completion, Delta
from agentspark.errors import RequestCancelledError, RequestError

Event = Delta | BaseException


class Handle:
    """Receives a request's deltas; iterate over it, or wait for ``result``.

    Deltas may be consumed once, by one consumer; whoever comes later gets a ``RequestError`` and
    has ``result``. ``cancel`` may be called from any thread, any
    number of times; the request's KV blocks are free within one turn of the engine's loop.
    ``labels`` are the request's, completed: its run and its step of it, where it has them.
    """

    def __init__(
        self,
        request_id: str,
        on_cancel: Callable[[Handle], None],
        labels: Labels | None = None,
    ) -> None:
        self.request_id = request_id
        self.labels = labels or Labels()
        self._on_cancel = on_cancel
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._sink: Callable[[Event], None] = self._events.put
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._outcome: Completion | BaseException | None = None
        self._taken = False

    def cancel(self) -> None:
        """Ask the engine to stop this request."""
        if not self._done.is_set():
            self._on_cancel(self)

    @property
    def done(self) -> bool:
        """Whether the request has ended, well or not."""
        return self._done.is_set()

    def result(self, timeout: float | None = None) -> Completion:
        """Wait for the end; the completion, or the request's error.

        Raises ``TimeoutError`` after ``timeout`` seconds; the request then still runs.
        """
        if not self._done.wait(timeout):
            raise TimeoutError(f"Request {self.request_id} has not ended after {timeout} s.")
        if isinstance(self._outcome, Completion):
            return self._outcome
        assert self._outcome is not None, "a request is done without an outcome"
        raise self._outcome

    def __iter__(self) -> Iterator[Delta]:
        """Deltas as they come; the last one carries the completion. Raises the request's error.

        Leaving the iteration early cancels the request.
        """
        self._take()
        return self._deltas()

    def _deltas(self) -> Iterator[Delta]:
        try:
            while True:
                event = self._events.get()
                if isinstance(event, BaseException):
                    raise event
                yield event
                if event.completion is not None:
                    return
        finally:
            self.cancel()

    def redirect(self, sink: Callable[[Event], None]) -> None:
        """Send events to ``sink`` (called on the loop's thread), those that waited included.

        Like an iteration, this consumes the deltas.
        """
        self._take()
        with self._lock:
            while not self._events.empty():
                sink(self._events.get())
            self._sink = sink

    def _take(self) -> None:
        with self._lock:
            taken, self._taken = self._taken, True
        if taken:
            raise RequestError(
                f"The deltas of request {self.request_id} have a consumer already and come once: "
                "keep what you need of them, or ask for result()."
            )

    def put(self, event: Event) -> None:
        """Deliver an event; called by the engine's loop."""
        if self._done.is_set():
            return
        outcome = event if isinstance(event, BaseException) else event.completion
        with self._lock:
            self._sink(event)
        if outcome is not None:
            self._outcome = outcome
            self._done.set()


def cancelled(request_id: str) -> RequestCancelledError:
    """The error a cancelled request ends with."""
    return RequestCancelledError(f"Request {request_id} was cancelled before it ended.")
