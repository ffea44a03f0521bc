"""Prompt files: JSON lines, plain or gzipped; bad lines are counted and named, never silent."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentspark.errors import DataError

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt: chat messages, or token ids where they were made already.

    ``place`` is the file and line it was read from, if it was.
    """

    id: str
    kind: str
    messages: list[dict[str, Any]] | None
    token_ids: list[int] | None
    place: str | None = None

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return repr(self.id) if self.place is None else f"{self.id!r} ({self.place})"

    @property
    def digest(self) -> str:
        """A short hash of what is asked, whatever it is called."""
        asked = json.dumps([self.messages, self.token_ids], sort_keys=True)
        return hashlib.sha256(asked.encode()).hexdigest()[:16]


@dataclass(slots=True)
class PromptFiles:
    """What was read: the prompts, and ``(file, line, reason)`` of the lines left out."""

    prompts: list[Prompt] = field(default_factory=list)
    skipped: list[tuple[Path, int, str]] = field(default_factory=list)

    def describe_skipped(self) -> str | None:
        """Return one sentence on the lines left out, ``None`` where there are none."""
        if not self.skipped:
            return None
        some = "; ".join(f"{p.name} line {n}: {why}" for p, n, why in self.skipped[:_SHOWN])
        more = len(self.skipped) - _SHOWN
        rest = f" and {more} more" if more > 0 else ""
        return f"{len(self.skipped)} prompt lines were left out ({some}{rest})."


def read_prompt_files(paths: Sequence[Path]) -> PromptFiles:
    """Read prompt files in order; the first of several prompts with one id is taken.

    A line is ``{"id", "messages": [{"role", "content"}, ...]}`` or ``{"id", "prompt_token_ids"}``,
    with an optional ``kind``. Raises ``DataError`` for a file that cannot be read and where no
    line can be used.
    """
    out, seen = PromptFiles(), set[str]()
    for path in paths:
        for number, line in _lines(path):
            try:
                prompt = _parse(json.loads(line), f"{path.name} line {number}")
                if prompt.id in seen:
                    raise ValueError(f"id {prompt.id!r} came before")
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                out.skipped.append((path, number, _reason(error)))
                continue
            seen.add(prompt.id)
            out.prompts.append(prompt)
    if not out.prompts:
        raise DataError(
            f"no usable prompt in {', '.join(map(str, paths)) or 'no file'}: "
            f"{out.describe_skipped() or 'the files are empty'}"
        )
    return out


def spread_over_kinds(prompts: Sequence[Prompt], most: int, seed: int = 0) -> list[Prompt]:
    """Return at most ``most`` prompts, drawn at random, as many of each kind as there are.

    Kinds take turns, so that any stretch of the result holds about as many of each.
    """
    shuffled = list(prompts)
    random.Random(seed).shuffle(shuffled)
    kinds: dict[str, list[Prompt]] = {}
    for prompt in shuffled:
        kinds.setdefault(prompt.kind, []).append(prompt)
    rounds = itertools.zip_longest(*(kinds[kind] for kind in sorted(kinds)))
    taken = (prompt for turn in rounds for prompt in turn if prompt is not None)
    return list(itertools.islice(taken, most))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as handle:
            for number, line in enumerate(handle, start=1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"prompt file {path} cannot be read ({error}): check the path.") from error


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return f"no {error}" if isinstance(error, KeyError) else str(error)


def _parse(raw: Any, place: str) -> Prompt:
    if not isinstance(raw, dict):
        raise ValueError("not a JSON object")
    messages, ids = raw.get("messages"), raw.get("prompt_token_ids")
    if (messages is None) == (ids is None):
        raise ValueError("give either messages or prompt_token_ids")
    if messages is not None:
        if not isinstance(messages, list) or not messages:
            raise ValueError("messages is not a list with something in it")
        for message in messages:
            role, content = message["role"], message["content"]
            if not isinstance(role, str) or not isinstance(content, str):
                raise ValueError("a message's role or content is not text")
    elif not isinstance(ids, list) or not ids or not all(type(i) is int for i in ids):
        raise ValueError("prompt_token_ids is not a list of whole numbers")
    name, kind = str(raw["id"]), str(raw.get("kind") or "unknown")
    (name + kind).encode()  # a UnicodeEncodeError is told, and neither could be written anywhere
    return Prompt(name, kind, messages, ids, place)
