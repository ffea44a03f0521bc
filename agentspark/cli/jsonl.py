"""JSON Lines files that are written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agentspark.errors import ConfigError


class LinesFile(AbstractContextManager["LinesFile"]):
    """Writes ``path`` line by line beside it (``.partial``) and renames it when all is there.

    After an error or Ctrl-C the partial file keeps the lines finished so far, each of them whole,
    and an earlier ``path`` is untouched.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = path.with_name(path.name + ".partial")

    def __enter__(self) -> Self:
        """Open the partial file, over an earlier one; ``ConfigError`` where it cannot be made."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        except OSError as error:
            raise ConfigError(
                f"{self.partial} cannot be written ({error.strerror}): give another --out."
            ) from error
        self._size = 0
        return self

    def write(self, value: Mapping[str, Any]) -> None:
        """Append one line; one that does not fit on the disk is taken back (``ConfigError``)."""
        line = (json.dumps(value, ensure_ascii=False) + "\n").encode()
        try:
            done = 0
            while done < len(line):
                done += os.write(self._file, line[done:])
        except OSError as error:
            os.ftruncate(self._file, self._size)
            raise ConfigError(
                f"{self.path} cannot be written ({error.strerror}): free some disk, or give "
                f"another --out. The lines finished so far are in {self.partial}."
            ) from error
        except BaseException:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(line)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Rename to the final name if nothing went wrong."""
        if kind is None:
            os.fsync(self._file)
        os.close(self._file)
        if kind is None:
            self.partial.replace(self.path)
