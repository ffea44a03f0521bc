"""The thread that owns the model: takes in requests, runs turns, and dies loudly if it must."""

from __future__ import annotations

import atexit
import ctypes
import logging
import os
import threading
from collections import deque
from collections.abc import Callable

from agentspark.engine.handle import Handle
from agentspark.engine.result import FinishReason
from agentspark.engine.sequence import Sequence
from agentspark.engine.turn import Turn
from agentspark.errors import EngineClosedError, EngineDiedError

_log = logging.getLogger(__name__)


class EngineLoop:
    """Runs turns while there is work. ``submit`` and ``cancel`` may come from any thread.

    ``build`` makes the state that the turns work on, on the loop's own thread: OpenMP keeps a pool
    of workers for every thread that computes, and a second pool on the same cores makes both wait
    for each other at each operation (half of the speed on two cores). What ``build`` raises is
    raised here.
    """

    def __init__(self, build: Callable[[], Turn]) -> None:
        self._build = build
        self._process = os.getpid()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._wake = threading.Condition()
        self._inbox: deque[Sequence] = deque()
        self._cancelled: set[Handle] = set()
        self._closing = False
        self._death: EngineDiedError | None = None
        self._thread = threading.Thread(target=self._main, name="agentspark-loop", daemon=True)
        try:
            self._thread.start()
            self._ready.wait()
        except BaseException:
            self._give_up()
            raise
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        # A thread that is inside the model when Python ends would take the process down with it.
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        """Whether requests are still taken: neither closed nor dead, nor left behind by a fork."""
        return self._death is None and not self._closing and not self.left_behind

    @property
    def left_behind(self) -> bool:
        """Whether this is a forked child's copy: it has no thread there, and no usable lock."""
        return self._process != os.getpid()

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence; raises if the engine is closed, has died or was left by a fork."""
        if self.left_behind:
            raise EngineClosedError("The engine was made before a fork: load it in the child.")
        with self._wake:
            if self._death is not None:
                raise self._death
            if self._closing:
                raise EngineClosedError("The engine is closed: load a new one to go on.")
            self._inbox.append(sequence)
            self._wake.notify()

    def cancel(self, handle: Handle) -> None:
        """Stop a request at the next turn; others may have the same id."""
        if self.left_behind:
            return
        with self._wake:
            self._cancelled.add(handle)
            self._wake.notify()

    def close(self) -> None:
        """Cancel what still runs and end the thread; nothing in a forked child."""
        if self.left_behind:
            return
        with self._wake:
            self._closing = True
            self._wake.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        atexit.unregister(self.close)

    def _give_up(self) -> None:
        """End a build that nobody waits for any more (Ctrl-C): it would outlive Python."""
        self._closing = True
        if self._thread.is_alive():
            thread = ctypes.c_ulong(self._thread.ident or 0)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(SystemExit))
            self._thread.join()

    def _main(self) -> None:
        try:
            self._turn = self._build()
        except BaseException as error:
            self._failure = error
            return
        finally:
            self._ready.set()
        try:
            while self._collect():
                self._turn.run()
        except BaseException as error:
            _log.exception("The engine's loop ended with an error.")
            death = EngineDiedError(
                f"The engine's loop ended with {type(error).__name__}: {error}. Load a new engine; "
                "if it happens again, report it with the log."
            )
            death.__cause__ = error
            with self._wake:
                self._death = death
            self._end_all(death, "error")

    def _collect(self) -> bool:
        """Wait for work and take it in; ``False`` once the engine closes."""
        turn = self._turn
        with self._wake:
            while not (self._inbox or self._cancelled or self._closing) and turn.idle:
                self._wake.wait()
            turn.waiting.extend(self._inbox)
            self._inbox.clear()
            cancelled, self._cancelled = self._cancelled, set()
            closing = self._closing
        if cancelled:
            for sequence in (*turn.running, *turn.waiting):
                sequence.cancelled |= sequence.handle in cancelled
        if closing:
            error = EngineClosedError("The engine was closed before the request ended.")
            self._end_all(error, "cancelled")
        return not closing

    def _end_all(self, error: BaseException, reason: FinishReason) -> None:
        with self._wake:
            left = [*self._turn.running, *self._turn.waiting, *self._inbox]
            self._inbox.clear()
        for sequence in left:
            try:
                if not sequence.accounted:
                    self._turn.finish(sequence, reason, error)
            except Exception:
                # Whoever waits has to be told all the same.
                _log.exception("Request %s could not be accounted for.", sequence.request.id)
            sequence.handle.put(error)
