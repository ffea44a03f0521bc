"""Which step of a run broke its prefix: where a prompt parts from the one before it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from agentspark.common import common_prefix
from agentspark.engine.request import Request
from agentspark.recent import Recent

_RUNS = 256


class Lineage:
    """Remembers the last prompt of each run (by run, arm and parent step)."""

    def __init__(self) -> None:
        self._last: Recent[tuple[str | None, ...], list[int]] = Recent(_RUNS)
        self._lock = threading.Lock()

    def part(self, request: Request, prompt: Sequence[int]) -> int | None:
        """The position where ``prompt`` parts from the prompt of the run's previous step.

        ``None`` where it extends it, and where there is no run or no previous step. Anything else
        is a cache breaker: what follows that position has to be computed again.
        """
        labels = request.labels
        if labels.run is None:
            return None
        tokens = list(prompt)
        key = (labels.run, labels.arm, labels.parent, request.options.cache_salt)
        with self._lock:
            before = self._last.get(key)
            self._last.put(key, tokens)
        if before is None:
            return None
        common = common_prefix(before, tokens)
        return None if common == len(before) else common
