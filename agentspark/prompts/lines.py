"""JSON Lines files, plain or gzipped, read with the place of every line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agentspark.errors import DataError


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, counted from 1."""

    path: Path
    line: int

    def __str__(self) -> str:
        """The file's path and the line."""
        return f"{self.path} line {self.line}"

    @property
    def short(self) -> str:
        """The file's name and the line: what may be written where others read it."""
        return f"{self.path.name} line {self.line}"


def read_lines(path: Path) -> Iterator[tuple[Place, bytes]]:
    """Yield each line that is not blank; a file that ends in ``.gz`` is unpacked.

    Raises ``DataError`` for a file that cannot be read.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield Place(path, number), line
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read ({reason}): check the path.") from error


def parse_object(line: bytes) -> dict[str, Any]:
    """The line's JSON object; ``DataError`` says what else it is, not where it stands."""
    try:
        value = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError("not UTF-8 text: save the file as UTF-8 JSON Lines.") from error
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON ({error.msg} at column {error.colno}).") from error
    except RecursionError as error:
        raise DataError("nested too deeply.") from error
    except ValueError as error:  # a number whose digits do not end
        raise DataError(f"not readable as JSON ({error}).") from error
    if not isinstance(value, dict):
        raise DataError(f"not a JSON object but {type(value).__name__}.")
    return value


@contextmanager
def naming(place: Place) -> Iterator[None]:
    """Put the place before the ``DataError`` that is raised inside."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{place}: {error}") from error


def read_objects(path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the object of each line that is not blank, with its place.

    Raises ``DataError`` for a file that cannot be read and for a line that is no JSON object.
    """
    for place, line in read_lines(path):
        with naming(place):
            value = parse_object(line)
        yield place, value
