"""The folder that a comparison writes into, for itself alone while it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from agentspark.errors import TraceWriteError
from agentspark.locks import take

_LOCK = ".lock"


@contextlib.contextmanager
def own_folder(out: Path | None, name: str) -> Iterator[Path]:
    """The folder ``out``, made where it is absent, held until the block ends.

    Without ``out`` a new one of this moment, ``traces/NAME/DATE-TIME`` in the current folder. A
    folder that was made here and is left empty is taken away again. Raises ``TraceWriteError``
    where another comparison holds the folder, and where it cannot be written.
    """
    folder = Path("traces") / name if out is None else out
    try:
        made = out is None or not folder.exists()
        if out is None:
            folder = fresh_folder(folder / datetime.now().strftime("%Y%m%d-%H%M%S"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
        lock = take(folder / _LOCK)
    except OSError as error:
        raise TraceWriteError(
            f"The folder {folder} cannot be written to: {error.strerror}. Free some space or "
            "choose another --out."
        ) from error
    if lock is None:
        raise TraceWriteError(
            f"Another comparison is writing to {folder}. Wait until it has ended, or choose "
            "another --out."
        )
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            (folder / _LOCK).unlink(missing_ok=True)
            if made:
                folder.rmdir()  # refused where something was written, as it should be
        lock.release()


def fresh_folder(folder: Path) -> Path:
    """Make ``folder``, or the first of ``folder-2``, ``folder-3``... that is not there yet.

    Of several processes that ask for the same one, each gets its own.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    wanted, number = folder, 1
    while True:
        try:
            wanted.mkdir()
        except FileExistsError:
            number += 1
            wanted = folder.with_name(f"{folder.name}-{number}")
        else:
            return wanted
