"""Ways through a grammar: tokens from a place to where the output may end, few of them.

A way is found greedily: what closes an object or a list comes first, then what ends a string.
Which of several names, words or kinds of value takes the fewest tokens is a guess there, so a way
too long for the tokens left can be gone along once more, trying what else there is at each fork.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentspark.engine.grammar.marks import Marks

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

# More tokens than these without one that closes something lead nowhere (forced ones not counted),
# and no way is longer than ``_LONGEST``.
_ENDLESS, _LONGEST = 64, 4096
# Names tried at one fork, ways tried to shorten one, ways tried where one leads nowhere, and times
# that all of it is done: what was a gain may stand in the way of a larger one.
_NAMES, _TRIES, _RESCUES, _PASSES = 16, 128, 16, 3
# Bytes that begin a value or end a name: what differs after them is no choice between names.
_BEGIN = b'"{[-0123456789'


class Ways:
    """Finds them for one tokenizer. Places given are left as they are."""

    def __init__(self, tables: LLTokenizer) -> None:
        self._tables = tables
        self._marks = Marks(tables)
        self.end: int = tables.eos_token
        """A token that ends any output that may end."""

    def lead_out(self, place: LLMatcher, tokens: Sequence[int]) -> bool:
        """Whether ``tokens`` may be said at ``place`` and the output end then."""
        whole = [*tokens, self.end]
        return bool(place.validate_tokens(whole) == len(whole))

    def greedy(
        self,
        place: LLMatcher,
        most: int = _LONGEST,
        last: int | None = None,
        known: Sequence[int] = (),
    ) -> tuple[list[int], bool]:
        """A way from ``place``, and whether it leads out in ``most`` tokens.

        It goes on with an end of ``known`` as soon as it can: with what comes there after the
        token said last, first of all ``last``.
        """
        place = place.deep_copy()
        found: list[int] = []
        endless = 0
        while not place.is_accepting():
            rest = self._joined(place, last, known)
            if rest is not None:
                found += rest
                break
            forced: list[int] = place.compute_ff_tokens()
            step, text = (forced, False) if forced else self._marks.nearest(place, len(found))
            if not text and self._marks.close(step):
                endless = 0
            elif not forced:
                endless += 1
            if not step or len(found) + len(step) > most or endless > _ENDLESS:
                return found, False
            if place.try_consume_tokens(step) < len(step):
                return found, False
            found += step
            last = step[-1]
        return found, len(found) <= most

    def short(self, place: LLMatcher, most: int) -> list[int] | None:
        """A way that leads out in ``most`` tokens; ``None`` if there seems to be none."""
        way, leads = self.greedy(place)
        if leads and len(way) > most:
            way = self._merged(place, way)
        for _ in range(_PASSES):
            if leads and len(way) <= most:
                return way
            before = way
            way, leads = self._improved(place, way, leads, most)
            if not leads:
                break
            way = self._merged(place, way)
            if way == before:
                break
        return way if leads and len(way) <= most else None

    def _joined(self, place: LLMatcher, last: int | None, known: Sequence[int]) -> list[int] | None:
        """The shortest end of ``known`` after ``last`` that leads out of ``place``."""
        for at in range(len(known), 0, -1):
            if known[at - 1] == last and self.lead_out(place, known[at:]):
                return list(known[at:])
        return None

    def _merged(self, place: LLMatcher, way: list[int]) -> list[int]:
        """``way`` as the tokenizer would split its text, where that is shorter."""
        tokens: list[int] = self._tables.tokenize_bytes(self._tables.decode_bytes(way))
        return tokens if len(tokens) < len(way) and self.lead_out(place, tokens) else way

    def _improved(
        self, place: LLMatcher, way: list[int], leads: bool, most: int
    ) -> tuple[list[int], bool]:
        """``way`` changed at its forks until it leads out in ``most`` tokens; whether it leads out.

        One that does not is not followed far.
        """
        place = place.deep_copy()
        at, tries = 0, _TRIES if leads else _RESCUES
        while at < len(way) and (len(way) > most or not leads) and tries > 0:
            for name, there in [] if place.compute_ff_tokens() else self._names(place):
                room = (len(way) if leads else _LONGEST) - at - len(name) - 1
                if room < 0:
                    continue
                tries -= 1
                rest, found = self.greedy(there, room, name[-1], way[at:] if leads else ())
                if found:
                    way, leads = [*way[:at], *name, *rest], True
            place.try_consume_tokens(way[at : at + 1])
            at += 1
        return way, leads

    def _names(self, place: LLMatcher) -> list[tuple[list[int], LLMatcher]]:
        """The names, words or beginnings of values that part at ``place``, and where they lead."""
        texts: list[bytes] = []
        going: list[tuple[bytes, LLMatcher]] = [(b"", place)]
        while going and len(texts) + len(going) <= _NAMES:
            said, here = going.pop()
            for byte, token in self._marks.fork(here):
                there = here.deep_copy()
                if there.try_consume_tokens([token]) < 1:
                    continue
                forced = there.compute_ff_bytes()
                if forced or byte in _BEGIN or there.is_accepting():
                    texts.append(said + byte + forced)
                else:
                    going.append((said + byte, there))
        found = []
        for text in texts:
            # A space belongs to the token after it.
            name, there = self._tables.tokenize_bytes(text.rstrip(b" ")), place.deep_copy()
            if name and there.try_consume_tokens(name) == len(name):
                found.append((name, there))
        return found
