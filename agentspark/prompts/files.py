"""Prompts files, read in two ways: up to the first wrong line, or with the wrong lines told."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentspark.errors import DataError
from agentspark.prompts.lines import Place, naming, parse_object, read_lines, read_objects
from agentspark.prompts.prompt import Prompt, parse_prompt

_SHOWN = 5
_SHOWN_LINES = 3


def iter_prompts(path: Path) -> Iterator[Prompt]:
    """Yield the prompts of a file; ``DataError`` names the first wrong line, with its file."""
    seen: dict[str | int, int] = {}
    for place, value in read_objects(path):
        with naming(place):
            prompt = parse_prompt(value, place)
            before = seen.setdefault(prompt.line_id, place.line)
            if before != place.line:
                raise DataError(f"id {prompt.line_id!r} stands in line {before} too.")
        yield prompt


def read_prompts(path: Path, limit: int | None = None) -> list[Prompt]:
    """The first ``limit`` prompts of a file, read before anything runs; none is a ``DataError``.

    Lines behind them are not looked at.
    """
    prompts = list(itertools.islice(iter_prompts(path), limit))
    if not prompts:
        raise DataError(f"{path} holds no prompts: write one JSON object a line.")
    return prompts


@dataclass(slots=True)
class PromptFiles:
    """What was read: the prompts, and the lines left out, each with its reason.

    ``overruled`` counts, for each field of sampling, the prompts whose lines give it.
    """

    prompts: list[Prompt] = field(default_factory=list)
    skipped: list[tuple[Place, str]] = field(default_factory=list)
    overruled: Counter[str] = field(default_factory=Counter)

    def describe(self) -> tuple[str, ...]:
        """Return a sentence on the lines left out, and one on the fields that are not followed."""
        return tuple(told for told in (self._skipped(), self._overruled()) if told is not None)

    def _skipped(self) -> str | None:
        if not self.skipped:
            return None
        groups: dict[str, list[tuple[Place, str]]] = {}
        for place, why in self.skipped:
            # Columns and places in lists differ for what is the same reason.
            groups.setdefault(re.sub(r"\d+", "", why), []).append((place, why))
        counted = sorted(groups.values(), key=len, reverse=True)
        some = "; ".join(
            f"{_lines([place for place, _ in group])}: {group[0][1]}" for group in counted[:_SHOWN]
        )
        more = len(counted) - _SHOWN
        rest = f"; and {more} more reasons" if more > 0 else ""
        count = len(self.skipped)
        lines = "1 prompt line was" if count == 1 else f"{count} prompt lines were"
        return f"{lines} left out ({some}{rest})."

    def _overruled(self) -> str | None:
        if not self.overruled:
            return None
        some = ", ".join(f"{name} in {count}" for name, count in sorted(self.overruled.items()))
        return (
            "What prompt lines say of how answers were sampled is not followed, as that is chosen "
            f"here ({some})."
        )


def read_prompt_files(paths: Sequence[Path]) -> PromptFiles:
    """Read files in order, for work that chooses itself how answers are sampled.

    Wrong lines are left out and told: those that ``iter_prompts`` refuses, those whose id came
    before, and those that hold their answer to a format or to certain calls, as answers are free
    here. Fields of sampling (``max_tokens``, ``temperature``, ``seed``, ``stop`` and the like) say
    how an answer was made and not what was asked: they are not followed, and counted. Raises
    ``DataError`` for a file that cannot be read and where no line can be used.
    """
    out, seen = PromptFiles(), set[str]()
    for path in paths:
        for place, line in read_lines(path):
            try:
                prompt = _parse_free(line, place)
                if prompt.id in seen:
                    raise DataError("the id came before.")
            except DataError as error:
                out.skipped.append((place, str(error).rstrip(".")))
                continue
            seen.add(prompt.id)
            out.prompts.append(prompt)
            out.overruled.update(list(prompt.asked.sampling))
    if not out.prompts:
        told = " ".join(out.describe()) or "the files are empty"
        raise DataError(f"no usable prompt in {', '.join(map(str, paths)) or 'no file'}: {told}")
    return out


def _parse_free(line: bytes, place: Place) -> Prompt:
    try:
        prompt = parse_prompt(parse_object(line), place)
    except RecursionError as error:
        raise DataError("nested too deeply.") from error
    held = prompt.asked.held_by
    if held is not None:
        raise DataError(f"{held} holds the answer to something, and answers are free here.")
    return prompt


def _lines(places: Sequence[Place]) -> str:
    """Some lines by the names of their files, such as ``a.jsonl line 3, line 9 and 4 more``."""
    shown = [places[0].short]
    for before, place in itertools.pairwise(places[:_SHOWN_LINES]):
        shown.append(f"line {place.line}" if place.path == before.path else place.short)
    more = len(places) - _SHOWN_LINES
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
