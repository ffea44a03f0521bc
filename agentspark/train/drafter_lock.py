"""One writer at a time in a drafter's folder: a calibration is of the weights it began with."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from agentspark.errors import TrainError
from agentspark.locks import take

_LOCK = ".drafter-lock"
_HOLDER = ".drafter-lock-holder"


@contextmanager
def lock_drafter(
    folder: Path,
    who: str,
    stage: Callable[[str], AbstractContextManager[object]] | None = None,
) -> Iterator[None]:
    """Be the only one, as ``who``, that writes a drafter or its calibration to ``folder``.

    The folder is made. Where another one is at it, wait and show so as a stage; without ``stage``
    raise ``TrainError``, which names that one, as it does where ``folder`` cannot be written to.
    The system frees the lock with its process, however that ends.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = take(folder / _LOCK)
        if lock is None:
            told = f"{_holder(folder)} is at work in {folder}"
            if stage is None:
                raise TrainError(f"{told}: wait until that has ended, and start again.")
            with stage(f"waiting: {told}"):
                lock = take(folder / _LOCK, wait=True)
        started = time.strftime("%Y-%m-%d %H:%M")
        told = f"{who} (process {os.getpid()} on {platform.node()}, since {started})"
        (folder / _HOLDER).write_text(told, encoding="utf-8")
    except OSError as error:
        raise TrainError(
            f"{folder} cannot be written to ({error.strerror}): give another folder, or make room."
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):
            (folder / _HOLDER).unlink(missing_ok=True)
            (folder / _LOCK).unlink(missing_ok=True)  # no trace of it in what is handed on
        if lock is not None:
            lock.release()


def _holder(folder: Path) -> str:
    """Who holds the lock, as that one says."""
    try:
        told = (folder / _HOLDER).read_text(encoding="utf-8", errors="replace")
    except OSError:
        told = ""
    return told or "another process"
