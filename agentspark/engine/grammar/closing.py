"""Ending what is open before the tokens run out, so that a constrained output is never cut short.

An output that must be JSON is worthless without its closing brackets. Near ``max_tokens`` the
choice narrows to the tokens of one short way to an acceptable end, and that is how it ends. Which
tokens these are depends on the text so far and on the tokens left alone, so they are a part of the
grammar like any other: speculation stays lossless. The request then ends with ``length``, since
something was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

# The way out is looked for when at most this many tokens are left.
HORIZON = 128
# Tokens kept in hand, since the next one may open something that takes longer to close: a share
# of all, within bounds.
_SHARE, _LEAST, _MOST = 8, 4, 32
# What ends an object, a list, a number or a part of a pattern soonest, in this order. A quote ends
# strings, and nothing but these ends free text that has to have a certain shape.
_CLOSERS = ("}", "]", ",", ")", ":", "@", ".", "-", "/", "0")
_SHAPES = ("@", ".", "-")
# Letters of a word by which free text is known; ranks from ``_TEXT`` on are such words. More words
# than ``_WORDS`` lead nowhere.
_WORD = 4
_TEXT = 1000
_WORDS = 40


def slack(limit: int) -> int:
    """Tokens kept in hand by a request that may have ``limit``."""
    return min(max(limit // _SHARE, _LEAST), _MOST)


class Closing:
    """Ways out of a grammar's places, for one tokenizer.

    ``leaving`` are tokens that may have to come first, to get out of a section of free text.
    """

    _leaving: Sequence[int] = ()
    _text = b""

    def __init__(self, tables: LLTokenizer, end_ids: list[int]) -> None:
        def ids(texts: tuple[str, ...]) -> list[int]:
            found = [tables.tokenize_str(text) for text in texts]
            return [tokens[0] for tokens in found if len(tokens) == 1]

        self._ends = [*end_ids, *ids(('"',))]
        self._tables = tables
        self._closers, self._shapes = ids(_CLOSERS), ids(_SHAPES)
        texts = [tables.decode_str([token]) for token in range(tables.vocab_size)]
        # The longest word is furthest on the way through a name or a text of some length.
        self._rank: NDArray[np.int64] = np.array(
            [len(t) + _TEXT * (t.isascii() and t.isalnum() and len(t) >= _WORD) for t in texts]
        )

    def leaving(self, text: str) -> Closing:
        """The same for a grammar whose first section ``text`` ends; empty for none."""
        found = copy(self)
        found._leaving = self._tables.tokenize_str(text, parse_special=True) if text else ()
        found._text = text.encode()
        return found

    def inside(self, said: Sequence[int]) -> bool:
        """Whether the tokens ``said`` so far may still be in that section."""
        if not self._leaving or (len(self._leaving) == 1 and self._leaving[0] in said):
            return False
        return self._text not in self._tables.decode_bytes(list(said))

    def way(self, place: LLMatcher, most: int, *, inside: bool = False) -> list[int] | None:
        """Tokens from ``place`` to the end of the output; ``None`` for none in ``most``.

        The last one ends the request where the grammar alone would not. ``inside``: it may take
        leaving the first section to get there.
        """
        found = self._way(place.deep_copy(), most, list(self._leaving)) if inside else None
        return self._way(place.deep_copy(), most, []) if found is None else found

    def _way(self, place: LLMatcher, most: int, found: list[int]) -> list[int] | None:
        """Go on from ``found``, which comes first."""
        if found and place.try_consume_tokens(found) < len(found):
            return None
        free = 0  # steps that only went on with free text
        while not place.is_accepting():
            step = list(place.compute_ff_tokens()) or self._step(place, len(found))
            free += len(step) == 1 and self._rank[step[0]] >= _TEXT
            if not step or len(found) + len(step) > most or free > _WORDS:
                return None
            found += step
            if place.try_consume_tokens(step) < len(step):
                return None
        if not place.is_stopped():
            found += self._step(place, 0)
        return found if len(found) <= most else None

    def _step(self, place: LLMatcher, taken: int) -> list[int]:
        """The next token of the way after ``taken``; empty if there is none."""
        bits = np.frombuffer(place.compute_bitmask(), dtype=np.uint8)

        def first(tokens: list[int]) -> list[int]:
            return next(([t] for t in tokens if bits[t >> 3] >> (t & 7) & 1), [])

        if end := first(self._ends):
            return end
        flat = np.unpackbits(bits, count=len(self._rank), bitorder="little")
        allowed = flat.nonzero()[0]
        if not len(allowed):
            return []
        longest = int(allowed[self._rank[allowed].argmax()])
        if self._rank[longest] < _TEXT:
            return first(self._closers) or [longest]
        return (first(self._shapes) if taken % 4 == 1 else []) or [longest]
