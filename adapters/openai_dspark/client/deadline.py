"""The time limit of one call: over all its tries, waits and reads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from agentspark.errors import RequestTimeoutError
from openai_dspark.client.hanging_up import hang_up

# The server is told the limit and says better than we can what took so long.
GRACE_S = 2.0


class Deadline:
    """Begins when it is made; ``timeout_s`` is ``None`` for a call without a limit."""

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s = timeout_s
        self._ends = None if timeout_s is None else time.monotonic() + timeout_s
        self._hung_up = False

    @property
    def left_s(self) -> float | None:
        """Seconds that are left to the server, at least 0."""
        return None if self._ends is None else max(self._ends - time.monotonic(), 0.0)

    @property
    def patience_s(self) -> float | None:
        """Seconds that are left to us: a bit more."""
        return None if self._ends is None else max(self._ends + GRACE_S - time.monotonic(), 0.0)

    @property
    def over(self) -> bool:
        """Whether no time is left."""
        return self.left_s == 0.0

    @property
    def hung_up(self) -> bool:
        """Whether a response was hung up on: if its length is not known, it looks whole."""
        return self._hung_up

    def error(self) -> RequestTimeoutError:
        """What to raise where no time is left."""
        return RequestTimeoutError(
            f"The call took longer than its timeout of {self._timeout_s:g} s: raise timeout, or "
            "ask for fewer tokens (max_tokens)."
        )

    @contextmanager
    def hanging_up(self, response: httpx.Response) -> Iterator[None]:
        """Hang up on ``response`` if the block reads for too long.

        Not a look at the clock between reads: what came in time may be read late.
        """
        patience = self.patience_s
        if patience is None:
            yield
            return
        timer = threading.Timer(patience, self._hang_up, (response,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextmanager
    def hanging_up_in_loop(self, response: httpx.Response) -> Iterator[None]:
        """The same without a thread, for a response of the running event loop."""
        patience = self.patience_s
        if patience is None:
            yield
            return
        timer = asyncio.get_running_loop().call_later(patience, self._hang_up, response)
        try:
            yield
        finally:
            timer.cancel()

    def _hang_up(self, response: httpx.Response) -> None:
        # Noted first: the reader may go on before this thread does.
        self._hung_up = self._hung_up or not response.is_closed
        hang_up(response)
