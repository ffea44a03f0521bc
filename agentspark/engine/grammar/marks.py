"""A vocabulary's tokens that lead out of a grammar, and those that part ways in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

Allowed = NDArray[np.uint8]

_BRACKETS = ("}", "]")
# The shortest values and how other ones begin; in JSON they come after a space or a bracket. Words
# come before what may hold other values, the same ones again where a schema is recursive.
_VALUES = ('""', "[]", "{}", "null", "true", "false", '"', "n", "t", "f", "[", "{")
_SPACED = tuple(f" {text}" for text in ("0", *_VALUES, ""))
# What ends a list, a number or a part of a pattern soonest, in this order, then values.
_CLOSERS = (",", *_BRACKETS, ")", ":", "@", ".", "-", "/", "0", *_VALUES, *_SPACED)
# Bytes of tokens that close something or part two of a list, where they are no text.
_CLOSING = frozenset(b'"}],')
# Nothing but these ends free text that has to have a certain shape.
_SHAPES = ("@", ".", "-", " ")
# Where this may come, brackets and quotes may be text.
_TEXT = "x"
# Letters of a word by which free text is known.
_WORD = 4
# Where more different bytes may come, they are no choice between names or kinds of value.
_FORKS = 16
# Where more different tokens may come, they are no choice between a few beginnings.
_CHOICES = 256


class Marks:
    """The marks of one tokenizer, by token id."""

    def __init__(self, tables: LLTokenizer) -> None:
        def ids(*texts: str) -> list[int]:
            found = [tables.tokenize_str(text) for text in texts]
            return [tokens[0] for tokens in found if len(tokens) == 1]

        self._text, self.quote, self._brackets = ids(_TEXT), ids('"'), ids(*_BRACKETS)
        self._closers, self._shapes = ids(*_CLOSERS), ids(*_SHAPES)
        self._texts = texts = [tables.decode_bytes([id_]) for id_ in range(tables.vocab_size)]
        single = {text: token for token, text in enumerate(texts) if len(text) == 1}
        self._bytes, self._byte_tokens = list(single), np.array(list(single.values()))
        self._closing = {t for t, text in enumerate(texts) if not _CLOSING.isdisjoint(text)}
        self._length: NDArray[np.int64] = np.array([len(text) for text in texts])
        words = [t.isascii() and t.isalnum() and len(t) >= _WORD for t in texts]
        self._words: Allowed = np.packbits(words, bitorder="little")

    def nearest(
        self, place: LLMatcher, taken: int, met: dict[bytes, int] | None = None
    ) -> tuple[list[int], bool]:
        """The token that leads out of ``place`` after ``taken`` others; empty for none.

        And whether it may be free text. Where the same choice was ``met`` before, with the same
        tokens allowed, another one is taken each time, down to the last.
        """
        bits = self._allowed(place)
        text = bool(_among(bits, self._text))
        found = ([] if text else _among(bits, self._brackets)) or _among(bits, self.quote)
        if found:
            return found[:1], text
        words = bits & self._words
        if words.any():
            # The longest word is furthest on the way through a name or a text of some length.
            shape = _among(bits, self._shapes) if taken % 4 == 1 else []
            choice, text = shape[:1] or self._longest(words), True
        else:
            choice = _among(bits, self._closers)[:1] or self._longest(bits)
        if met is not None:
            seen = bits.tobytes()
            choice = self._others(bits, choice, met.get(seen, 0))
            met[seen] = met.get(seen, 0) + 1
        return choice, text

    def close(self, tokens: Sequence[int]) -> bool:
        """Whether one of ``tokens``, which are no free text, closes something."""
        return not self._closing.isdisjoint(tokens)

    def fork(self, place: LLMatcher) -> list[tuple[bytes, int]]:
        """The bytes that may come at ``place``, with their tokens, where they lead elsewhere.

        Of free text that is its end, of digits the least and the greatest; nothing where a bracket
        closes, which is always shortest.
        """
        bits = self._allowed(place)
        if _among(bits, self._text):
            return [(b'"', token) for token in _among(bits, self.quote)]
        if _among(bits, self._brackets):
            return []
        tokens = self._byte_tokens
        allowed = (bits[tokens >> 3] >> (tokens & 7) & 1).nonzero()[0].tolist()
        found = {self._bytes[at]: int(tokens[at]) for at in allowed}
        digits = sorted(text for text in found if text.isdigit())
        for text in digits[1:] if b"0" in found else digits[1:-1]:
            del found[text]
        hexadecimal = digits and b"a" in found
        return [] if hexadecimal or len(found) > _FORKS else list(found.items())

    def _others(self, bits: Allowed, choice: list[int], times: int) -> list[int]:
        """What is chosen instead of ``choice`` after so many ``times``: another beginning."""
        if not choice or times == 0:
            return choice
        allowed = np.unpackbits(bits, bitorder="little").view(np.bool_).nonzero()[0]
        if len(allowed) > _CHOICES:
            return choice
        longest: dict[bytes, int] = {}
        for token in sorted(allowed.tolist(), key=self._length.__getitem__):
            longest[self._texts[token].lstrip()[:1]] = token
        longest.pop(self._texts[choice[0]].lstrip()[:1], None)
        others = list(longest.values())
        return [others[min(times, len(others)) - 1]] if others else choice

    def _allowed(self, place: LLMatcher) -> Allowed:
        return np.frombuffer(place.compute_bitmask(), dtype=np.uint8, count=len(self._words))

    def _longest(self, bits: Allowed) -> list[int]:
        # Of bytes seen as bool, the places are found ten times as fast.
        allowed = np.unpackbits(bits, bitorder="little").view(np.bool_).nonzero()[0]
        return [int(allowed[self._length[allowed].argmax()])] if len(allowed) else []


def _among(bits: Allowed, tokens: Sequence[int]) -> list[int]:
    """Those of ``tokens`` that ``bits`` allows."""
    return [token for token in tokens if bits[token >> 3] >> (token & 7) & 1]
