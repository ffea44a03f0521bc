"""JSON Lines files: read with line numbers in every error, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from agentspark.errors import DataError


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield ``(line number, object)`` for each line that is not blank.

    Raises ``DataError`` for a file that cannot be read and for a line that is no JSON object.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _parse(path, number, line)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the path.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: save it as UTF-8 JSON Lines.") from error


def _parse(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} line {number} is not JSON ({error.msg} at column {error.colno})."
        ) from error
    except (ValueError, RecursionError) as error:  # digits or brackets without end
        raise DataError(f"{path} line {number} cannot be read as JSON ({error}).") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} line {number} must be a JSON object, not {type(value).__name__}.")
    return value


def check_messages(value: object, where: str) -> list[dict[str, Any]]:
    """Return ``value`` if it is a non-empty list of role/content objects, else ``DataError``.

    Content is a string or a list of parts; a message that calls tools or holds reasoning may have
    none, as clients record it.
    """
    if not isinstance(value, list) or not value:
        raise DataError(f"{where}: messages must be a non-empty list.")
    for place, message in enumerate(value):
        if not (
            isinstance(message, dict)
            and isinstance(message.get("role"), str)
            and _has_content(message)
        ):
            raise DataError(
                f"{where}: messages[{place}] needs a string role, and content: a string or a list "
                "of text parts (or tool_calls instead)."
            )
    return value


def _has_content(message: dict[str, Any]) -> bool:
    content = message.get("content")
    if content is None:
        return bool(message.get("tool_calls") or message.get("reasoning_content"))
    return isinstance(content, str | list)


class LinesFile(AbstractContextManager["LinesFile"]):
    """Writes ``path`` line by line beside it (``.partial``) and renames it when all is there.

    After an error or Ctrl-C the partial file keeps the lines finished so far, each of them whole,
    and an earlier ``path`` is untouched.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = path.with_name(path.name + ".partial")

    def __enter__(self) -> Self:
        """Open the partial file, over an earlier one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self._size = 0
        return self

    def write(self, value: Mapping[str, Any]) -> None:
        """Append one line; a line that does not fit on the disk is taken back."""
        line = (json.dumps(value, ensure_ascii=False) + "\n").encode()
        try:
            done = 0
            while done < len(line):
                done += os.write(self._file, line[done:])
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
