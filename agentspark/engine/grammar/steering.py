"""Ending what is open before the tokens run out, so that a constrained output is never cut short.

An output that must be JSON is worthless without its closing brackets. So a way out is known from
every place a request comes to, and a token after which none fits in the tokens left gives way to
the next one of the way out known before it. What is said in its place depends on the text so far,
on the tokens left and on the token alone, so it is a part of how a token is chosen like any other:
speculation stays lossless. The request then ends with ``length``, since something was cut.

A string whose pattern wants certain text at its end is closed with such a text (``endings.py``);
where none is known (a pattern that Python cannot read, or one that needs dozens of characters) it
may be cut after all.

How long a way out is looked for is counted in steps, never in time, for the same reason. Every
token brings some: a long search goes on while tokens are said, and other requests never wait for
the end of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentspark.engine.grammar.closing import Closing
from agentspark.engine.grammar.search import Search

if TYPE_CHECKING:
    from llguidance import LLMatcher

# More tokens than any text that ends a section.
_SEEN = 32
# A way out is looked for again when this share of the tokens to spare is used up.
_PACE = 8
# Steps of looking for a way that every token brings, and those that may be saved up: some two
# hundredths of a second, which others wait for; where free text has a pattern that is dear to
# follow, a step takes several times as long. After so many in which none was found, nobody looks
# any more.
_STEPS, _SAVED, _EFFORT = 300, 2000, 30_000
_NEVER = -1


class Steering:
    """What one request may say in ``limit`` tokens.

    ``reach`` is about how many tokens a part of the grammar takes to say at least: the way out can
    be that long at the start, and becomes so much longer where an optional part is begun. While
    many more than that are to spare, nobody looks.
    """

    def __init__(self, closing: Closing, limit: int, reach: int) -> None:
        self._closing = closing
        self._left = limit
        self._reach = reach
        self._inside: list[int] | None = []  # the last tokens said, while in the first section
        self._way: Sequence[int] | None = None  # out of the place now, where known
        self._steps, self._effort = _SAVED, _EFFORT
        self._search: Search[Sequence[int] | None] | None = None  # one under way
        self._began: LLMatcher  # where it began
        self._since: list[int] = []  # the tokens said from there on
        self._due = self._next(limit, reach)  # how many tokens are left when it has to be
        self.narrowed = False
        """Whether a token gave way because the tokens ran out."""

    def steered(self, place: LLMatcher, wanted: int) -> int:
        """What is said at ``place``: ``wanted``, or the next token of the way out."""
        self._steps = min(self._steps + _STEPS, _SAVED)
        token = self._chosen(place, wanted) if self._left <= self._due else wanted
        self._left -= 1
        if self._inside is not None:
            self._inside = [*self._inside[-_SEEN:], token] if self._still_inside(token) else None
        return token

    def _chosen(self, place: LLMatcher, wanted: int) -> int:
        left, way, after = self._left - 1, self._way, None
        if way is None:
            way = self._looked(place)
        if way is not None:
            after = self._going_on(place, way, wanted)
            if after is None and self._search is None:
                self.narrowed = True
                wanted, *after = way or [self._closing.end]
        elif self._search is not None:
            self._since.append(wanted)
        self._due = self._next(left, None if after is None else len(after))
        self._way = after if self._due == left else None
        return wanted

    def _going_on(self, place: LLMatcher, way: Sequence[int], wanted: int) -> Sequence[int] | None:
        """A way out after ``wanted``; ``None`` where none fits, or the search for it goes on.

        It may go on while more tokens are to spare than a way out becomes longer by.
        """
        if list(way[:1]) == [wanted]:
            return way[1:]
        left, inside = self._left - 1, self._still_inside(wanted)
        search = Search(self._closing.next_way(place, way, [wanted], left, inside=inside))
        self._steps -= search.go_on(max(self._steps, _STEPS))
        if not search.done and self._effort > 0 and left - len(way) > self._reach:
            self._search, self._since = search, []
            self._began = place.deep_copy()
            self._began.try_consume_tokens([wanted])
        return search.found

    def _looked(self, place: LLMatcher) -> Sequence[int] | None:
        """A way out of ``place``, as soon as one is known.

        Tokens may be said before a search has come to its end: what it finds leads out of where it
        began, and with that a way from here is looked for.
        """
        inside = self._still_inside()
        if self._search is None:
            self._began, self._since = place.deep_copy(), []
            work = self._closing.way(self._began, self._left, inside=inside)
            self._search = Search(work)
        while True:
            taken = self._search.go_on(self._steps)
            self._steps, self._effort = self._steps - taken, self._effort - taken
            if not self._search.done:
                self._search = self._search if self._effort > 0 else None
                return None
            found, began, since = self._search.found, self._began, self._since
            self._search = None
            if found is None:
                return None
            self._effort = _EFFORT
            if not since:
                return found
            self._began, self._since = place.deep_copy(), []
            work = self._closing.next_way(began, found, since, self._left, inside=inside)
            self._search = Search(work)

    def _next(self, left: int, needed: int | None) -> int:
        """How many tokens are left when a way out has to be known again; ``needed`` were just now.

        ``None`` if there was none to be found: one may appear, but is not worth many searches.
        """
        if needed is None:
            if self._effort <= 0:
                return _NEVER
            return left if self._search is not None else left - left // 2
        return left - max(left - needed - self._reach, 0) // _PACE

    def _still_inside(self, *more: int) -> bool:
        return self._inside is not None and self._closing.inside([*self._inside, *more])
