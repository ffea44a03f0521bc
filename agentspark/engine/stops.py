"""Stop strings on incremental text: nothing of a stop string is ever emitted."""

from __future__ import annotations

from collections.abc import Sequence


class StopMatcher:
    """Finds stop strings in text that arrives in pieces, across the borders of pieces.

    ``push`` returns what may be shown; the longest end that could still grow into a stop string is
    held back until more text decides. Which stop wins does not depend on how the text was cut:
    the one that completes first (at the same character: the longest). A push costs time in the
    length of the piece and of the stop strings, not of the text so far.
    """

    __slots__ = ("_held", "_longest", "_stops", "stopped")

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._longest = max((len(stop) for stop in self._stops), default=0)
        self._held = ""
        self.stopped: str | None = None
        """The stop string that was found; ``None`` until then."""

    def push(self, text: str) -> str:
        """Add ``text``; return the text that is safe to emit. Nothing comes after a stop."""
        if not self._stops or self.stopped is not None:
            return "" if self.stopped is not None else text
        buffer = self._held + text
        found = self._first(buffer)
        if found is not None:
            start, self.stopped = found
            self._held = ""
            return buffer[:start]
        held = self._held_length(buffer)
        cut = len(buffer) - held
        self._held = buffer[cut:]
        return buffer[:cut]

    def flush(self) -> str:
        """The text still held back, when no more text will come."""
        held, self._held = self._held, ""
        return held

    def _first(self, buffer: str) -> tuple[int, str] | None:
        best: tuple[int, int, str] | None = None
        for stop in self._stops:
            start = buffer.find(stop)
            if start >= 0:
                candidate = (start + len(stop), start, stop)
                best = candidate if best is None else min(best, candidate)
        return None if best is None else (best[1], best[2])

    def _held_length(self, buffer: str) -> int:
        for length in range(min(self._longest - 1, len(buffer)), 0, -1):
            tail = buffer[-length:]
            if any(len(stop) > length and stop.startswith(tail) for stop in self._stops):
                return length
        return 0
