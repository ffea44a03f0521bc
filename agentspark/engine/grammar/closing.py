"""How what is open can be closed: the ways out of a request's places in its grammar."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING

from agentspark.engine.grammar.ways import Ways

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer


class Closing:
    """Ways out for one tokenizer, also where a section of free text has to be left first.

    ``inside`` always says that a request may still be in that section.
    """

    _lead: Sequence[int] = ()  # the tokens that leave it, and their text
    _text = b""

    def __init__(self, tables: LLTokenizer) -> None:
        self._tables = tables
        self._ways = Ways(tables)
        self.end = self._ways.end
        """A token that ends any output that may end."""

    def leaving(self, text: str, tokens: Sequence[int]) -> Closing:
        """The same for a grammar whose first section ``text`` (``tokens``) ends; empty for none."""
        found = copy(self)
        found._lead, found._text = tokens, text.encode()
        return found

    def inside(self, said: Sequence[int]) -> bool:
        """Whether the tokens ``said`` so far may still be in that section."""
        if not self._lead or (len(self._lead) == 1 and self._lead[0] in said):
            return False
        return self._text not in self._tables.decode_bytes(list(said))

    def way(self, place: LLMatcher, most: int, *, inside: bool) -> list[int] | None:
        """Tokens from ``place`` to where the output may end; ``None`` for none in ``most``."""
        found, leads = self._ways.greedy(place, most)
        if leads:
            return found
        if inside and (left := _after(place, self._lead)) is not None:
            rest = self._ways.short(left, most - len(self._lead))
            if rest is not None:
                return [*self._lead, *rest]
        return self._ways.short(place, most)

    def next_way(
        self, place: LLMatcher, way: Sequence[int], token: int, most: int, *, inside: bool
    ) -> list[int] | None:
        """The same from the place after ``token``, where ``way`` leads out of ``place``.

        Less thorough and far cheaper: after most tokens of a text nothing changes, and after most
        others it takes a few steps to be on the way known.
        """
        if list(way[:1]) == [token]:
            return list(way[1:])
        if len(way) <= most and self._ways.lead_out(place, [token, *way]):
            return list(way)
        there = _after(place, [token])
        if there is None or there.is_accepting():
            return []
        lead = list(self._lead) if inside else []
        if not lead or list(way[: len(lead)]) != lead:
            found, leads = self._ways.greedy(there, most, token, way)
            if leads:
                return found
        left = _after(there, lead) if lead else None
        if left is None:
            return None
        rest, leads = self._ways.greedy(left, most - len(lead), lead[-1], way)
        return lead + rest if leads else None


def _after(place: LLMatcher, tokens: Sequence[int]) -> LLMatcher | None:
    """The place after ``tokens``; ``None`` if they may not be said at ``place``."""
    there = place.deep_copy()
    return there if there.try_consume_tokens(list(tokens)) == len(tokens) else None
