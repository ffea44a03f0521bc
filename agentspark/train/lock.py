"""One run at a time in a folder: locks that the system frees when their process ends, however."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agentspark.errors import TrainError
from agentspark.locks import take
from agentspark.train.holder import held_by, holder_of

if TYPE_CHECKING:
    from filelock import FileLock

_RUN_LOCK = ".lock"
_DATA_LOCK = ".data-lock"


@contextmanager
def lock_run(work: Path) -> Iterator[None]:
    """Keep other runs out of a run's folder ``work``, which is made, as long as the block runs.

    Raises ``TrainError`` where another run is at work there. The empty file of the lock stays: to
    delete it would let two runs in.
    """
    path = work / _RUN_LOCK
    lock = _take(path)
    if lock is None:
        raise TrainError(
            f"another run is at work in {work.parent}: wait for {holder_of(path)}, or give another "
            "--out."
        )
    try:
        with _writing(work), ExitStack() as held:
            held.enter_context(held_by("agentspark train", path))
            noted = held.pop_all()
        with noted:
            yield
    finally:
        lock.release()


@contextmanager
def lock_data(work: Path, stage: Callable[[str], AbstractContextManager[object]]) -> Iterator[None]:
    """Be the only one that completes the responses and features in ``work`` meanwhile.

    They may be another run's (``TrainConfig.data_from``): where that or a third one is at it, wait
    and show so as a stage.
    """
    lock = _take(work / _DATA_LOCK)
    if lock is None:
        with stage(f"waiting for another run's data in {work.parent}"):
            lock = take(work / _DATA_LOCK, wait=True)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def _take(path: Path) -> FileLock | None:
    """The lock, made with its folder. Raises ``TrainError`` where that cannot be."""
    with _writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        return take(path)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TrainError(
            f"{folder} cannot be written to ({error.strerror}): give another folder."
        ) from error
