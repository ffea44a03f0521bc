"""An index over token sequences that finds where the last few tokens occurred before."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# N-gram lengths with a hash table each, and the table's size. Matches are verified, so a
# collision costs time only. Hash: xor of products with odd numbers, middle bits taken.
_LEVELS = (6, 3, 2)
_SLOTS = 1 << 15
_MASK = _SLOTS - 1
_SHIFT = 9
_P1, _P2, _P3, _P4, _P5, _P6 = 0x9E3779B, 0xC2B2AE3, 0x85EBCA7, 0x27D4EB3, 0x165667B, 0xD6E8FEB
# From this many tokens on, indexing is vectorised.
_BULK = 128
_EMPTY = array("i", [-1]) * _SLOTS

# How many earlier occurrences are compared, and how far back a match is followed.
_CANDIDATES = 12
_LENGTHS = (2, 3, 4, 5, 6, 8, 12, 16, 24, 32)
MAX_MATCH = _LENGTHS[-1]

SEPARATOR = -1
"""Stands between sequences; no match reaches across it."""


@dataclass(frozen=True, slots=True)
class Match:
    """A continuation that was seen after the same tokens.

    ``length`` is how many tokens before it agree (rounded down to 2, 3, 4, 5, 6, 8, 12, 16, 24
    or 32). Of ``found`` equally long matches, ``votes`` went on with the same first token.
    ``start`` is the place of the first copied token among all tokens that were ever indexed.
    """

    token_ids: list[int]
    length: int
    votes: int
    found: int
    start: int


class NgramTable:
    """Hash chains over one growing array of tokens (the idea of LZ77 compressors).

    Extending costs a few table writes per token; a look-up follows at most a dozen earlier
    occurrences of the last 6, 3 or 2 tokens and compares backwards from there. Memory: 20 bytes a
    token and 400 KB of tables. ``first`` is the place of the first token in a longer text.
    """

    __slots__ = ("_heads", "_previous", "first", "tokens")

    def __init__(self, first: int = 0) -> None:
        self.first = first
        self.tokens: list[int] = []
        self._heads = [_EMPTY[:] for _ in _LEVELS]
        self._previous: list[array[int]] = [array("i") for _ in _LEVELS]

    def __len__(self) -> int:
        return len(self.tokens)

    def extend(self, token_ids: Sequence[int]) -> None:
        """Append tokens and index them."""
        if len(token_ids) >= _BULK:
            self._extend_bulk(token_ids)
            return
        tokens = self.tokens
        start = len(tokens)
        e, d, c, b, a = self._before(start)
        tokens.extend(token_ids)
        (head6, head3, head2), (prev6, prev3, prev2) = self._heads, self._previous
        for i in range(start, len(tokens)):
            t = tokens[i]
            x = t * _P1 ^ a * _P2
            h2 = x >> _SHIFT & _MASK
            x ^= b * _P3
            h3 = x >> _SHIFT & _MASK
            h6 = (x ^ c * _P4 ^ d * _P5 ^ e * _P6) >> _SHIFT & _MASK
            prev2.append(head2[h2])
            head2[h2] = i
            prev3.append(head3[h3])
            head3[h3] = i
            prev6.append(head6[h6])
            head6[h6] = i
            e, d, c, b, a = d, c, b, a, t

    def _extend_bulk(self, token_ids: Sequence[int]) -> None:
        """The same as ``extend``, vectorised: for prompts."""
        start, count = len(self.tokens), len(token_ids)
        all_ids = np.array([*self._before(start), *token_ids], dtype=np.int64)
        e, d, c, b, a, t = (all_ids[j : j + count] for j in range(6))
        x2 = t * _P1 ^ a * _P2
        x3 = x2 ^ b * _P3
        x6 = x3 ^ c * _P4 ^ d * _P5 ^ e * _P6
        for x, head, previous in zip((x6, x3, x2), self._heads, self._previous, strict=True):
            slots = x >> _SHIFT & _MASK
            heads = np.frombuffer(head, dtype=np.int32)
            order = np.argsort(slots, kind="stable")
            grouped = slots[order]
            follows = grouped[1:] == grouped[:-1]
            links = heads[slots]
            links[order[1:][follows]] = order[:-1][follows] + start
            previous.frombytes(links.astype(np.int32).tobytes())
            last = np.append(~follows, True)
            heads[grouped[last]] = order[last] + start
        self.tokens.extend(token_ids)

    def _before(self, start: int) -> list[int]:
        """The five tokens before position ``start``, oldest first."""
        return [SEPARATOR] * (5 - min(start, 5)) + self.tokens[max(0, start - 5) : start]

    def find(self, tail: Sequence[int], max_tokens: int) -> Match | None:
        """The best continuation of ``tail``: longest match, then most frequent, then latest.

        ``tail`` are the last tokens of a request (up to 32 are used). If they are also the end of
        this table, that occurrence is not a match; a match that runs into the end is continued
        with itself, which is right for periodic text.
        """
        tail = list(tail[-MAX_MATCH:])
        if len(tail) < 2 or SEPARATOR in tail[-2:]:
            return None
        for level, n in enumerate(_LEVELS):
            if len(tail) < n:
                continue
            best, ends = self._candidates(tail, level, n)
            if ends:
                return self._continuation(best, ends, max_tokens)
        return None

    def _candidates(self, tail: list[int], level: int, n: int) -> tuple[int, list[int]]:
        """Longest verified match of at least ``n`` tokens and its end positions, latest first."""
        tokens, previous = self.tokens, self._previous[level]
        position = self._heads[level][_hash(tail, n)]
        last = len(tokens) - 1
        best, ends = n, []
        for _ in range(_CANDIDATES):
            if position < 0:
                break
            if position != last and tokens[position + 1] != SEPARATOR:
                length = _match_length(tokens, position, tail, best)
                if length > best:
                    best, ends = length, [position]
                elif length == best:
                    ends.append(position)
            position = previous[position]
        return best, ends

    def _continuation(self, length: int, ends: list[int], max_tokens: int) -> Match:
        tokens = self.tokens
        votes = Counter(tokens[end + 1] for end in ends)
        winner = max(votes.values())
        end = next(end for end in ends if votes[tokens[end + 1]] == winner)
        found = tokens[end + 1 : end + 1 + max_tokens]
        if SEPARATOR in found:
            found = found[: found.index(SEPARATOR)]
        elif len(found) < max_tokens:
            period = len(found)
            found.extend(found[i % period] for i in range(max_tokens - period))
        return Match(found, length, winner, len(ends), self.first + end + 1)


def _hash(tail: Sequence[int], n: int) -> int:
    """The slot of the last ``n`` tokens: the same formula as in ``NgramTable.extend``."""
    x = tail[-1] * _P1 ^ tail[-2] * _P2
    if n >= 3:
        x ^= tail[-3] * _P3
    if n >= 6:
        x ^= tail[-4] * _P4 ^ tail[-5] * _P5 ^ tail[-6] * _P6
    return x >> _SHIFT & _MASK


def _match_length(tokens: Sequence[int], position: int, tail: Sequence[int], least: int) -> int:
    """How many tokens up to ``position`` equal the end of ``tail``.

    A value of ``_LENGTHS``; 0 if it is below ``least``.
    """
    best = 0
    for length in _LENGTHS:
        if length < least:
            continue
        if (
            length > len(tail)
            or tokens[max(position - length + 1, 0) : position + 1] != (tail[-length:])
        ):
            break
        best = length
    return best
