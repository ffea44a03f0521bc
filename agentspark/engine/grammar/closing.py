"""Ending what is open before the tokens run out, so that a constrained output is never cut short.

An output that must be JSON is worthless without its closing brackets. Near ``max_tokens`` the
choice narrows to the tokens of one short way to an acceptable end, and that is how it ends. Which
tokens these are depends on the text so far and on the tokens left alone, so they are a part of the
grammar like any other: speculation stays lossless. The request then ends with ``length``, since
something was cut.
"""

from __future__ import annotations

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
# Letters of a word by which free text is known.
_WORD = 4


def slack(limit: int) -> int:
    """Tokens kept in hand by a request that may have ``limit``."""
    return min(max(limit // _SHARE, _LEAST), _MOST)


class Closing:
    """Ways out of a grammar's places, for one tokenizer."""

    def __init__(self, tables: LLTokenizer, end_ids: list[int]) -> None:
        def ids(texts: tuple[str, ...]) -> list[int]:
            found = [tables.tokenize_str(text) for text in texts]
            return [tokens[0] for tokens in found if len(tokens) == 1]

        self._ends = [*end_ids, *ids(('"',))]
        self._closers, self._shapes = ids(_CLOSERS), ids(_SHAPES)
        texts = [tables.decode_str([token]) for token in range(tables.vocab_size)]
        # The longest word is furthest on the way through a name or a text of some length.
        self._rank: NDArray[np.int64] = np.array(
            [len(t) + 1000 * (t.isascii() and t.isalnum()) for t in texts]
        )

    def way(self, place: LLMatcher, most: int) -> list[int] | None:
        """Tokens from ``place`` to the end of the output; ``None`` for none in ``most``.

        The last one ends the request where the grammar alone would not. Uses up ``place``.
        """
        found: list[int] = []
        while not place.is_accepting():
            step = list(place.compute_ff_tokens()) or self._step(place, len(found))
            if not step or len(found) + len(step) > most:
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
        if self._rank[longest] < 1000 + _WORD:
            return first(self._closers) or [longest]
        return (first(self._shapes) if taken % 4 == 1 else []) or [longest]
