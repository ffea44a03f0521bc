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
# Tokens kept in hand: the next token may open something that takes this much longer to close.
SLACK = 32
# What ends a string, an object, a list, a number or a part of a pattern soonest, in this order.
_CLOSERS = ('"', "@", "}", "]", ",", ")", ":", ".", "-", "/", "0")
# The same token so often in a row leads nowhere: another one is tried.
_REPEATS = 3


class Closing:
    """Ways out of a grammar's places, for one tokenizer."""

    def __init__(self, tables: LLTokenizer, end_ids: list[int]) -> None:
        single = [tables.tokenize_str(text) for text in _CLOSERS]
        self._first = [*end_ids, *(ids[0] for ids in single if len(ids) == 1)]
        texts = [tables.decode_str([token]) for token in range(tables.vocab_size)]
        # Otherwise the longest word: it is furthest on the way through a pattern or a name.
        self._rank: NDArray[np.int64] = np.array(
            [len(t) + 1000 * (t.isascii() and t.isalnum()) for t in texts]
        )

    def way(self, place: LLMatcher, most: int) -> list[int] | None:
        """Tokens from ``place`` to the end of the output; ``None`` for none in ``most``.

        The last one ends the request where the grammar alone would not. Uses up ``place``.
        """
        found: list[int] = []
        while not place.is_accepting():
            step = list(place.compute_ff_tokens()) or self._step(place, found[-_REPEATS:])
            if not step or len(found) + len(step) > most:
                return None
            found += step
            if place.try_consume_tokens(step) < len(step):
                return None
        if not place.is_stopped():
            found += self._step(place, [])
        return found if len(found) <= most else None

    def _step(self, place: LLMatcher, last: list[int]) -> list[int]:
        bits = np.frombuffer(place.compute_bitmask(), dtype=np.uint8)
        stuck = last[0] if len(last) == _REPEATS and len(set(last)) == 1 else None
        for token in self._first:
            if token != stuck and bits[token >> 3] >> (token & 7) & 1:
                return [token]
        flat = np.unpackbits(bits, count=len(self._rank), bitorder="little")
        allowed = flat.nonzero()[0]
        return [int(allowed[self._rank[allowed].argmax()])] if len(allowed) else []
