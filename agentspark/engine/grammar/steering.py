"""Ending what is open before the tokens run out, so that a constrained output is never cut short.

An output that must be JSON is worthless without its closing brackets. So a way out is known from
every place a request comes to, and a token after which none fits in the tokens left gives way to
the next one of the way out known before it. What is said in its place depends on the text so far,
on the tokens left and on the token alone, so it is a part of how a token is chosen like any other:
speculation stays lossless. The request then ends with ``length``, since something was cut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentspark.engine.grammar.closing import Closing

if TYPE_CHECKING:
    from llguidance import LLMatcher

# More tokens than any text that ends a section.
_SEEN = 32
# A way out is looked for again when this share of the tokens to spare is used up.
_PACE = 8


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
        self._way: list[int] | None = None  # out of the place now, where known
        self._due = self._next(limit, reach)  # how many tokens are left when it has to be
        self.narrowed = False
        """Whether a token gave way because the tokens ran out."""

    def steered(self, place: LLMatcher, wanted: int) -> int:
        """What is said at ``place``: ``wanted``, or the next token of the way out."""
        token = self._chosen(place, wanted) if self._left <= self._due else wanted
        self._left -= 1
        if self._inside is not None:
            self._inside = [*self._inside[-_SEEN:], token] if self._still_inside(token) else None
        return token

    def _chosen(self, place: LLMatcher, wanted: int) -> int:
        left, way, after = self._left - 1, self._way, None
        if way is None:
            way = self._closing.way(place, self._left, inside=self._still_inside())
        if way is not None:
            inside = self._still_inside(wanted)
            after = self._closing.next_way(place, way, wanted, left, inside=inside)
            if after is None:
                self.narrowed = True
                wanted, *after = way or [self._closing.end]
        self._due = self._next(left, None if after is None else len(after))
        self._way = after if self._due == left else None
        return wanted

    def _next(self, left: int, needed: int | None) -> int:
        """How many tokens are left when a way out has to be known again; ``needed`` were just now.

        ``None`` if there was none to be found: one may appear, but is not worth many searches.
        """
        if needed is None:
            return left - left // 2
        return left - max(left - needed - self._reach, 0) // _PACE

    def _still_inside(self, *more: int) -> bool:
        return self._inside is not None and self._closing.inside([*self._inside, *more])
