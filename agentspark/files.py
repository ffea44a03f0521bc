"""Files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

_WRITING = ".writing"
_FOLDER = f"{_WRITING}-"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; it takes its place where the block ends well.

    The folder is made if need be. Readers and a kill at any time see the old file or the new one.
    An error (``OSError`` for no space or permission) leaves the old one and nothing else behind; a
    kill may leave a part beside it, which ``remove_leftovers`` takes away.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{os.getpid()}-{threading.get_ident()}"
    temporary = path.with_name(f".{path.name}.{writer}{_WRITING}")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8; see ``whole_file``."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: object) -> None:
    """Write ``data`` to ``path``; see ``whole_file``."""
    write_text(path, json.dumps(data, indent=1))


def remove_leftovers(folder: Path) -> None:
    """Take away what killed writers left in a folder that nobody else is writing to."""
    for left in folder.glob(f"*{_WRITING}"):
        left.unlink(missing_ok=True)


@contextmanager
def whole_files(folder: Path, stale: Sequence[Path] = ()) -> Iterator[Path]:
    """Give an empty folder whose files take their places in ``folder`` where the block ends well.

    The files ``stale`` speak of what is replaced: they go once the new ones are safe on the disk
    and before the first of these takes its place, so they never lie beside what they do not fit.
    An error (``OSError`` for no space or permission) leaves all files as they were. A kill leaves
    each file old or new, and at most one folder ``.writing-...``, which the next write removes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in leftovers(folder):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=_FOLDER) as name:
        temporary = Path(name)
        yield temporary
        written = sorted(temporary.iterdir())
        for path in written:
            path.chmod(0o644)
            sync(path)
        for path in stale:
            path.unlink(missing_ok=True)
        for path in written:
            os.replace(path, folder / path.name)


def leftovers(folder: Path) -> list[Path]:
    """What ``whole_files`` that were killed left in ``folder``: files that have no place yet."""
    return list(folder.glob(f"{_FOLDER}*"))


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is safe on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
