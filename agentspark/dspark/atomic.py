"""Files that are replaced whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_WRITING = ".writing-"


def write_json(path: Path, data: object) -> None:
    """Write ``data`` to ``path``, making its folder if need be.

    Readers and a kill at any time see the old file or the new one. ``OSError`` (no space, no
    permission) leaves the old one and nothing else behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def replaced(folder: Path, stale: Sequence[Path] = ()) -> Iterator[Path]:
    """Give an empty folder whose files take their places in ``folder`` where the block ends well.

    The files ``stale`` speak of what is replaced: they go once the new ones are safe on the disk
    and before the first of these takes its place, so they never lie beside what they do not fit.
    An error (``OSError`` for no space or permission) leaves all files as they were. A kill leaves
    each file old or new, and at most one folder ``.writing-...``, which the next write removes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(f"{_WRITING}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=_WRITING) as name:
        temporary = Path(name)
        yield temporary
        written = sorted(temporary.iterdir())
        for path in written:
            path.chmod(0o644)
            with path.open("rb") as handle:
                os.fsync(handle.fileno())
        for path in stale:
            path.unlink(missing_ok=True)
        for path in written:
            os.replace(path, folder / path.name)
