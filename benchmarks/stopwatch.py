"""Timing calls from outside: for parts that the engine's own phases do not tell apart."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Stopwatch:
    """Seconds spent in the watched calls, and how many there were."""

    seconds: float = 0.0
    calls: int = 0


@contextmanager
def watched(owner: Any, name: str) -> Iterator[Stopwatch]:
    """Time every call of ``owner.name`` (a class's method or a module's function) meanwhile."""
    watch = Stopwatch()
    original = getattr(owner, name)

    @functools.wraps(original)
    def timed(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            watch.seconds += time.perf_counter() - started
            watch.calls += 1

    setattr(owner, name, timed)
    try:
        yield watch
    finally:
        setattr(owner, name, original)
