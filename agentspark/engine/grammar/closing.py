"""How what is open can be closed: the ways out of a request's places in its grammar."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING

from agentspark.engine.grammar.search import Work
from agentspark.engine.grammar.ways import CHECKED, Ways

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

# So many tokens more than the way known may one be that goes on after another token.
_DETOUR = 64
# Where fewer tokens are to spare, a greedy way has to do.
_SPARE = 16
# What may be left of a character that was begun, in UTF-8: nothing, or one to three bytes, the
# first of which is no lower in some characters.
_FIRST = (b"\x80", b"\xa0", b"\x90")
_RESTS = (b"", *(first + b"\x80" * more for more in range(3) for first in _FIRST))


class Closing:
    """Ways out for one tokenizer, also where a section of free text has to be left first.

    ``inside`` always says that a request may still be in that section.
    """

    _lead: Sequence[int] = ()  # the tokens that leave it, and their text
    _text = b""
    _leads: Sequence[list[int]] = ()  # the same behind each possible rest of a character

    def __init__(self, tables: LLTokenizer) -> None:
        self._tables = tables
        self._ways = Ways(tables)
        self.end = self._ways.end
        """A token that ends any output that may end."""

    def leaving(
        self, text: str, tokens: Sequence[int], endings: Sequence[Sequence[int]] = ()
    ) -> Closing:
        """The same for a grammar whose first section ``text`` (``tokens``) ends; empty for none.

        ``endings`` are tried where free text cannot be closed as it is.
        """
        found = copy(self)
        found._ways = self._ways.trying(endings)
        found._lead, found._text = tokens, text.encode()
        if tokens:
            rests = (self._tables.tokenize_bytes(rest) for rest in _RESTS)
            found._leads = [[*rest, *tokens] for rest in rests]
        return found

    def inside(self, said: Sequence[int]) -> bool:
        """Whether the tokens ``said`` so far may still be in that section."""
        if not self._lead or (len(self._lead) == 1 and self._lead[0] in said):
            return False
        return self._text not in self._tables.decode_bytes(list(said))

    def way(self, place: LLMatcher, most: int, *, inside: bool) -> Work[Sequence[int] | None]:
        """Tokens from ``place`` to where the output may end; ``None`` for none in ``most``."""
        left = self._left(place) if inside else None
        if left is not None:
            lead, behind = left
            found, leads = yield from self._ways.greedy(place, most)
            if leads:
                return found
            rest = yield from self._ways.short(behind, most - len(lead))
            if rest is not None:
                return [*lead, *rest]
        return (yield from self._ways.short(place, most))

    def next_way(
        self, place: LLMatcher, way: Sequence[int], said: Sequence[int], most: int, *, inside: bool
    ) -> Work[Sequence[int] | None]:
        """The same from the place after some tokens ``said``, where ``way`` leads out of ``place``.

        Mostly far cheaper: after most tokens of a text nothing changes, and after most others it
        takes a few steps to be on the way known. ``place`` may move on meanwhile.
        """
        return self._next_way(_after(place, said), way, said[-1], most, inside)

    def _next_way(
        self, there: LLMatcher | None, way: Sequence[int], last: int, most: int, inside: bool
    ) -> Work[Sequence[int] | None]:
        if there is None or there.is_accepting():
            return []
        yield 1 + len(way) // CHECKED
        if len(way) <= most and self._ways.lead_out(there, way):
            return way
        far = min(most, len(way) + _DETOUR)
        if not inside or all(list(way[: len(lead)]) != lead for lead in self._leads):
            found, leads = yield from self._ways.greedy(there, far, last, way)
            if leads:
                return found
        lead: list[int] = []
        if inside:
            left = self._left(there)
            if left is None:
                return None
            lead, there = left
            far, most = far - len(lead), most - len(lead)
            found, leads = yield from self._ways.greedy(there, far, lead[-1], way)
        if not leads and most - len(way) < _SPARE:
            return None
        rest = found if leads else (yield from self._ways.shortened(there, found, False, most))
        return None if rest is None else lead + rest

    def _left(self, place: LLMatcher) -> tuple[list[int], LLMatcher] | None:
        """The tokens that leave the section at ``place``, and the place after them, if any do."""
        for lead in self._leads:
            if (left := _after(place, lead)) is not None:
                return lead, left
        return None


def _after(place: LLMatcher, tokens: Sequence[int]) -> LLMatcher | None:
    """The place after ``tokens``; ``None`` if they may not be said at ``place``."""
    there = place.deep_copy()
    return there if there.try_consume_tokens(list(tokens)) == len(tokens) else None
