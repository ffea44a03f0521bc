"""Placeholders in a chat's texts, so that what a template wrote is told apart from what it copied.

Control tokens that someone typed are replaced by placeholders before the template runs and are
tokenised as plain text afterwards: what is left is the template's own. Whole texts are replaced by
placeholders to find where the template puts them. Placeholders are made of private-use characters
that occur nowhere in the chat.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

# Two private-use planes; a chat would have to use all of them to leave none free.
_PRIVATE = (*range(0xF0000, 0xFFFFE), *range(0x100000, 0x10FFFE))


def any_of(names: Iterable[str]) -> re.Pattern[str]:
    """A pattern for any of ``names``, longer ones first; one that never matches for none."""
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


class Markers:
    """The placeholders of one chat; ``texts`` are all strings in it."""

    def __init__(self, texts: Iterable[str]) -> None:
        used = {char for text in texts for char in set(text)}
        free = (chr(code) for code in _PRIVATE if chr(code) not in used)
        control, turn = next(free), next(free)
        self._control, self._controls = control, re.compile(f"{control}(\\d+){control}")
        self._turn, self._turns = turn, re.compile(f"{turn}(\\d+){turn}")
        self._hidden: list[str] = []

    def hide(self, value: Any, controls: re.Pattern[str]) -> Any:
        """``value`` with every match of ``controls`` in its strings replaced by a placeholder."""
        if isinstance(value, str):
            return controls.sub(self._placeholder, value)
        if isinstance(value, dict):
            return {
                self.hide(key, controls): self.hide(item, controls) for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.hide(item, controls) for item in value]
        return value

    def turn(self, index: int) -> str:
        """The placeholder of the whole text of message ``index``."""
        return f"{self._turn}{index}{self._turn}"

    def split_turns(self, rendered: str) -> tuple[list[str], list[int]]:
        """The pieces around the placeholders of whole texts, and the messages these stand for."""
        pieces = self._turns.split(rendered)
        return pieces[::2], [int(index) for index in pieces[1::2]]

    def split_controls(self, rendered: str) -> Iterator[tuple[str, bool]]:
        """``(text, typed)`` in order; a ``typed`` text is a control token that someone typed."""
        for index, piece in enumerate(self._controls.split(rendered)):
            if index % 2:
                yield self._hidden[int(piece)], True
            elif piece:
                yield piece, False

    def _placeholder(self, match: re.Match[str]) -> str:
        self._hidden.append(match.group())
        return f"{self._control}{len(self._hidden) - 1}{self._control}"
