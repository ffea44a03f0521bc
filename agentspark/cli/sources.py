"""A folder of source code as an agent reads it: a listing, and bounded excerpts of some files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agentspark.errors import DataError

SUFFIXES = frozenset(
    {
        ".c",
        ".cc",
        ".cpp",
        ".cs",
        ".cu",
        ".go",
        ".h",
        ".hpp",
        ".java",
        ".js",
        ".jsx",
        ".kt",
        ".lua",
        ".php",
        ".pl",
        ".py",
        ".rb",
        ".rs",
        ".scala",
        ".sh",
        ".sql",
        ".swift",
        ".ts",
        ".tsx",
        ".zig",
    }
)
_SKIPPED = frozenset(("node_modules", "build", "dist", "venv", "__pycache__"))
_LARGEST_BYTES = 1_000_000
_IMPORT = re.compile(r"\s*(import|from|use|using|package|#include)\b")
_NAMED = re.compile(
    r"\s*(?:(?:export|public|pub|async|abstract|static|final)\s+)*"
    r"(class|struct|interface|enum|trait|def|fn|func|function)\s+([A-Za-z]\w+)"
)

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file: its path inside the folder, with forward slashes, and its lines."""

    path: str
    lines: list[str]


def read_folder(folder: Path) -> list[SourceFile]:
    """All source files below ``folder`` that are not empty, by path.

    Hidden, built and installed folders, links and very large files are left out. Raises
    ``DataError`` where there is nothing to read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: give one with source code in it.")
    files: list[SourceFile] = []
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if path.suffix not in SUFFIXES or any(_skipped(part) for part in inner.parts):
            continue
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST_BYTES:
            continue
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}).") from error
        if any(line.strip() for line in lines):
            files.append(SourceFile(inner.as_posix(), lines))
    if not files:
        raise DataError(f"{folder} holds no source files: give another folder.")
    return files


def choose(files: list[SourceFile], count: int) -> list[SourceFile]:
    """At most ``count`` files: the longest of each folder, then each one's second, and so on.

    The folders with the most lines come first.
    """
    folders: dict[str, list[SourceFile]] = {}
    for file in sorted(files, key=lambda file: (-len(file.lines), file.path)):
        folders.setdefault(file.path.rpartition("/")[0], []).append(file)
    rows = sorted(folders.values(), key=lambda row: (-sum(len(f.lines) for f in row), row[0].path))
    rounds = max(len(row) for row in rows)
    return [row[place] for place in range(rounds) for row in rows if place < len(row)][:count]


def listing(files: list[SourceFile], count: Count, limit: int) -> str:
    """One line a file, ``limit`` tokens at most, then how many are not shown."""
    return _bounded([f"{f.path} ({len(f.lines)} lines)" for f in files], count, limit, "files")


def excerpt(file: SourceFile, count: Count, limit: int) -> str:
    """The file from its start without imports and empty lines, ``limit`` tokens at most.

    The last line says how many lines are not shown.
    """
    return _bounded(list(_telling(file.lines)), count, limit, "lines")


def main_name(file: SourceFile) -> str | None:
    """The first type that the file defines, else its first function; ``None`` without either."""
    found = [match.groups() for line in file.lines if (match := _NAMED.match(line))]
    types = [name for kind, name in found if kind not in ("def", "fn", "func", "function")]
    return next(iter([*types, *(name for _, name in found)]), None)


def _telling(lines: list[str]) -> Iterator[str]:
    """The lines but for empty ones and imports, of which Python's may go on to a bracket."""
    inside = False
    for line in lines:
        if inside:
            inside = ")" not in line
        elif _IMPORT.match(line):
            inside = line.rstrip().endswith("(")
        elif line.strip():
            yield line


def _bounded(lines: list[str], count: Count, limit: int, what: str) -> str:
    kept: list[str] = []
    left = limit - count(f"... {len(lines)} more {what}")
    for line in lines:
        left -= count(line + "\n")
        if left < 0:
            return "\n".join([*kept, f"... {len(lines) - len(kept)} more {what}"])
        kept.append(line)
    return "\n".join(kept)


def _skipped(part: str) -> bool:
    return part.startswith(".") or part in _SKIPPED or part.endswith(".egg-info")
