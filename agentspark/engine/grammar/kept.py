"""Compiled grammars, the ones used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentspark.engine.grammar.constraint import Constraint

if TYPE_CHECKING:
    from llguidance import LLMatcher

_ENTRIES = 128
# Characters of all of them: a compiled grammar takes some 40 bytes for each.
_CHARS = 1_000_000


@dataclass(frozen=True, slots=True)
class Compiled:
    """A grammar to be copied for every request, and how many tokens its parts may take to say.

    ``endings`` are tokens that end free text as its patterns want it.
    """

    matcher: LLMatcher
    reach: int
    endings: Sequence[Sequence[int]] = ()


class KeptGrammars:
    """The grammars used last, as far as they fit. Callers hold a lock."""

    def __init__(self, entries: int = _ENTRIES, chars: int = _CHARS) -> None:
        self._entries, self._most = entries, chars
        self._chars = 0
        self._found: OrderedDict[Constraint, Compiled] = OrderedDict()

    def find(self, constraint: Constraint) -> Compiled | None:
        """Return what was compiled for ``constraint``; it becomes the one used last."""
        if constraint in self._found:
            self._found.move_to_end(constraint)
        return self._found.get(constraint)

    def keep(self, constraint: Constraint, compiled: Compiled) -> None:
        """Keep a grammar, and let go of those used longest ago for which there is no room."""
        if constraint not in self._found:
            self._chars += len(constraint.lark)
        self._found[constraint] = compiled
        self._found.move_to_end(constraint)
        while len(self._found) > self._entries or self._chars > self._most:
            gone, _ = self._found.popitem(last=False)
            self._chars -= len(gone.lark)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._found)
