"""One writer at a time in a drafter's folder: a calibration is of the weights it began with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from agentspark.errors import TrainError
from agentspark.locks import take
from agentspark.train.holder import held_by, holder_of

_LOCK = ".drafter-lock"


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
    path = folder / _LOCK
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = take(path)
            if lock is None:
                told = f"{holder_of(path)} is at work in {folder}"
                if stage is None:
                    raise TrainError(f"{told}: wait until that has ended, and start again.")
                with stage(f"waiting: {told}"):
                    lock = take(path, wait=True)
            if lock is not None:
                held.callback(lock.release)
            held.callback(_remove, path)  # no trace of it in what is handed on
            held.enter_context(held_by(who, path))
        except OSError as error:
            raise TrainError(
                f"{folder} cannot be written to ({error.strerror}): give another folder, or make "
                "room."
            ) from error
        yield


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
