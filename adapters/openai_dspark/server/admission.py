"""How many requests are let in: what runs and what may wait; the rest is told when to return."""

from __future__ import annotations

import math
import time
from collections import deque

from openai_dspark.server.errors import ApiError

_REMEMBERED = 64
_LONGEST_WAIT_S = 60


class Admission:
    """Places for ``running`` + ``waiting`` sequences. Used on the event loop alone."""

    def __init__(self, running: int, waiting: int) -> None:
        self.running = running
        self.places = running + waiting
        self.taken = 0
        self._ends: deque[float] = deque(maxlen=_REMEMBERED)

    def take(self, count: int) -> None:
        """Take places for a request of ``count`` sequences; ``ApiError`` 429 if they are not free.

        One that could never fit is a 400.
        """
        if count > self.places:
            raise ApiError(
                400, f"{count} sequences are more than this server holds at once.", param="n"
            )
        if self.taken + count > self.places:
            raise ApiError(
                429,
                f"The server is busy with {self.taken} requests; try again in a moment.",
                code="queue_full",
                headers={"retry-after": str(self.wait_s())},
            )
        self.taken += count

    def give_back(self, count: int) -> None:
        """Free the places of a request that ended."""
        self.taken -= count
        self._ends.extend([time.monotonic()] * min(count, _REMEMBERED))

    def wait_s(self) -> int:
        """Seconds until a place may be free, from how often requests ended of late."""
        if len(self._ends) < 2:
            return 1
        per_end = (time.monotonic() - self._ends[0]) / len(self._ends)
        return min(max(math.ceil(per_end), 1), _LONGEST_WAIT_S)
