"""Locks of files: one holder, told at once, and none where the file system has no locks."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from agentspark import locks
from agentspark.locks import take


def test_one_holds_it_until_it_is_released(tmp_path: Path) -> None:
    held = take(tmp_path / "lock")
    assert held is not None
    assert take(tmp_path / "lock") is None
    held.release()
    again = take(tmp_path / "lock", wait=True)
    assert again is not None and again.is_locked
    again.release()


def test_without_locks_nobody_is_kept_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.FileLock, "acquire", acquire)
    one, other = take(tmp_path / "lock"), take(tmp_path / "lock")
    assert one is not None and other is not None
    one.release()


def test_a_place_that_cannot_be_written_is_the_callers_to_tell(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        take(tmp_path / "file" / "lock")
