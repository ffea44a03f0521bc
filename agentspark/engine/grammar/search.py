"""A search that is done bit by bit, so that nothing else has to wait for all of it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Generic, TypeVar

Found = TypeVar("Found")

Work = Generator[int, None, Found]
"""What a search does until it returns what it found: it yields the steps of each bit of it.

A step is about what it takes to ask a grammar one thing, some ten microseconds. How far a search
comes is counted in steps and never in time, so it is the same on every run.
"""


class Search(Generic[Found]):
    """One search under way."""

    def __init__(self, work: Work[Found]) -> None:
        self._work = work
        self.done = False
        self.found: Found | None = None
        """What ``done`` work returned."""

    def go_on(self, steps: int) -> int:
        """Work for ``steps``, the last bit of it whole; returns how many were taken."""
        taken = 0
        while not self.done and taken < steps:
            try:
                taken += next(self._work)
            except StopIteration as end:
                self.done, self.found = True, end.value
        return taken
