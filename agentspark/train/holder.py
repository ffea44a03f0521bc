"""Who holds a lock: its own file tells nothing, and on some systems nobody else may read it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def held_by(who: str, lock: Path) -> Iterator[None]:
    """Note beside the file ``lock``, which this process holds, who that is as long as it does.

    Raises ``OSError`` where that cannot be written.
    """
    note = _note(lock)
    since = time.strftime("%Y-%m-%d %H:%M")
    told = f"{who} (process {os.getpid()} on {platform.node()}, since {since})"
    note.write_text(told, encoding="utf-8")
    try:
        yield
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)


def holder_of(lock: Path) -> str:
    """Who holds ``lock``, as that one said; in its first moment it has not yet."""
    try:
        told = _note(lock).read_text(encoding="utf-8", errors="replace")
    except OSError:
        told = ""
    return told or "another process"


def _note(lock: Path) -> Path:
    return lock.with_name(f"{lock.name}-holder")
