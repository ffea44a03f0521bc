"""What each process opens for itself, a forked child too."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class _Closable(Protocol):
    @property
    def is_closed(self) -> bool: ...


Kept = TypeVar("Kept", bound=_Closable)

# What children got from their parents. Never freed: that would close it, and an event loop's
# sockets are taken off the parent's own watch when a child closes them.
_inherited: list[object] = []


class PerProcess(Generic[Kept]):
    """What ``make`` makes, made again in a forked child.

    A child shares its parent's sockets: on a pooled one it would read its parent's answers. What
    was closed before the fork stays closed.
    """

    def __init__(self, make: Callable[[], Kept]) -> None:
        self._make = make
        self._made = (os.getpid(), make())

    def get(self) -> Kept:
        """What this process has."""
        process, kept = self._made
        if process != os.getpid() and not kept.is_closed:
            _inherited.append(kept)
            kept = self._make()
            self._made = (os.getpid(), kept)
        return kept
