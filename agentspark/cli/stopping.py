"""Work that is told to stop says what is kept of it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from agentspark.cli.console import say


@contextmanager
def stoppable(kept: str) -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, say ``kept`` and exit with 130, or 143 for it.

    A service manager or a batch system ends work by that signal, which by itself would leave a
    process no time to save anything.
    """
    asked: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        raise KeyboardInterrupt

    mine = threading.current_thread() is threading.main_thread()  # no other may set handlers
    before = signal.signal(signal.SIGTERM, stop) if mine else None
    try:
        yield
    except KeyboardInterrupt:
        say(kept)
        raise typer.Exit(128 + (asked[0] if asked else signal.SIGINT)) from None
    finally:
        if mine:
            signal.signal(signal.SIGTERM, before)
