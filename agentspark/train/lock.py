"""One run at a time in a folder: locks that the system frees when their process ends, however."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from agentspark.errors import TrainError

if sys.platform != "win32":
    import fcntl

_RUN_LOCK = ".lock"
_DATA_LOCK = ".data-lock"


@contextmanager
def lock_run(work: Path) -> Iterator[None]:
    """Keep other runs out of a run's folder ``work``, which is made, as long as the block runs.

    Raises ``TrainError`` where another run is at work there. The empty file of the lock stays: to
    delete it would let two runs in.
    """
    with _lock_file(work / _RUN_LOCK) as handle:
        if not _locked(handle, wait=False):
            raise TrainError(
                f"another run is at work in {work.parent}: wait for it, or give another --out."
            )
        yield


@contextmanager
def lock_data(work: Path, stage: Callable[[str], AbstractContextManager[object]]) -> Iterator[None]:
    """Be the only one that completes the responses and features in ``work`` meanwhile.

    They may be another run's (``TrainConfig.data_from``): where that or a third one is at it, wait
    and show so as a stage.
    """
    with _lock_file(work / _DATA_LOCK) as handle:
        if not _locked(handle, wait=False):
            with stage(f"waiting for another run's data in {work.parent}"):
                _locked(handle, wait=True)
        yield


def _lock_file(path: Path) -> IO[bytes]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        raise TrainError(
            f"{path.parent} cannot be written to ({error.strerror}): give another folder."
        ) from error


def _locked(handle: IO[bytes], *, wait: bool) -> bool:
    """Whether the file is locked now; true as well where files cannot be locked."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN)
    return True
