"""The tools of the transcripts' agents, run on this repository: what they show is real."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from agentspark.errors import DataError

# About 300 tokens of source code.
_LONGEST_RESULT = 1000


@dataclass(frozen=True, slots=True)
class Repository:
    """The tools over the repository at ``root``. The same files give the same results."""

    root: Path

    def list_files(self, folder: str) -> str:
        """The Python files of a folder with their line counts."""
        files = sorted(self._path(folder).glob("*.py"))
        return _cut([f"{file.name}  {len(_lines(file))} lines" for file in files])

    def read_file(self, path: str, start: int) -> str:
        """Lines of a file from ``start`` on, numbered."""
        lines = _lines(self._path(path))[start - 1 :]
        return _cut([f"{start + at:4d}  {line}" for at, line in enumerate(lines)])

    def search(self, pattern: str, folder: str) -> str:
        """Lines that match a regular expression, with file and line number."""
        wanted = re.compile(pattern)
        found = [
            f"{file.relative_to(self.root).as_posix()}:{number}: {line.strip()}"
            for file in sorted(self._path(folder).rglob("*.py"))
            for number, line in enumerate(_lines(file), start=1)
            if wanted.search(line)
        ]
        return _cut(found or ["no matches"])

    def outline(self, path: str) -> str:
        """Classes and functions of a file with the first line of what they say of themselves."""
        tree = ast.parse(self._path(path).read_text(encoding="utf-8"))
        lines = [f"{path}: {_summary(tree)}"]
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                kind = "class" if isinstance(node, ast.ClassDef) else "def"
                lines.append(f"{node.lineno:4d}  {kind} {node.name}: {_summary(node)}")
        return _cut(lines)

    def _path(self, name: str) -> Path:
        path = self.root / name
        if not path.exists():
            raise DataError(
                f"The transcripts read {name}, which is no longer there: change the script of "
                "make_transcripts to what took its place."
            )
        return path


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def _summary(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    text = ast.get_docstring(node) or "no description"
    return text.splitlines()[0]


def _cut(lines: list[str]) -> str:
    """Whole lines up to the longest result, and how many were left out."""
    kept: list[str] = []
    size = 0
    for line in lines:
        size += len(line) + 1
        if size > _LONGEST_RESULT and kept:
            break
        kept.append(line)
    if len(kept) < len(lines):
        kept.append(f"... {len(lines) - len(kept)} more lines")
    return "\n".join(kept)
