"""Locks of files that the system frees with the process that holds them, however it ends."""

from __future__ import annotations

import errno
from pathlib import Path

from filelock import FileLock, Timeout

_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}


def take(path: Path, *, wait: bool = False) -> FileLock | None:
    """The lock of the file ``path``, held until it is released; ``None`` if another one holds it.

    ``wait`` waits for it instead. On a file system without locks nobody is kept out. Raises
    ``OSError`` where the file cannot be made. The empty file stays: who deletes it while another
    one opens it lets two in.
    """
    lock = FileLock(path)
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        return None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return lock
