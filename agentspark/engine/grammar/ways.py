"""Ways through a grammar: tokens from a place to where the output may end, few of them.

A way is found greedily: what closes an object or a list comes first, then what ends a string.
Which of several names, words or kinds of value takes the fewest tokens is a guess there, so a way
too long for the tokens left can be gone along once more, trying what else there is at each fork.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING

from agentspark.engine.grammar.marks import Marks
from agentspark.engine.grammar.search import Work

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

# More tokens than these without one that closes something lead nowhere (forced ones not counted).
_ENDLESS = 64
# A way so many times as long as it may be, and some tokens more, is not worth shortening. None is
# longer than the last of these.
_TIMES, _MORE, _LONGEST = 8, 256, 4096
# Names tried at one fork, ways tried to shorten one, and times that all of it is done: what was a
# gain may stand in the way of a larger one.
_NAMES, _TRIES, _PASSES = 16, 128, 3
# Where one leads nowhere: ways tried, of at most so many tokens first, as some go on for ever.
_RESCUES, _ROOMS = 16, (64, 512, _LONGEST)
# Bytes that begin a value or end a name: what differs after them is no choice between names.
_BEGIN = b'"{[-0123456789'
# Tokens that are checked in one step.
CHECKED = 32
# Steps to copy a place and to say what comes next there; tokens that are split anew in one step;
# and tokens of a known way that are checked before the rest of it, or ends of it in one step.
_COPY, _NEXT, _SPLIT, _FIRST = 2, 6, 4, 6


class Ways:
    """Finds them for one tokenizer. Places given are left as they are."""

    _endings: Sequence[Sequence[int]] = ()

    def __init__(self, tables: LLTokenizer) -> None:
        self._tables = tables
        self._marks = Marks(tables)
        self.end: int = tables.eos_token
        """A token that ends any output that may end."""

    def trying(self, endings: Sequence[Sequence[int]]) -> Ways:
        """The same with ``endings`` to try where free text cannot be closed, in this order."""
        found = copy(self)
        found._endings = endings
        return found

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
        begin: Sequence[int] = (),
        *,
        varied: bool = False,
    ) -> Work[tuple[list[int], bool]]:
        """A way from where ``begin`` leads to, and whether it leads out in ``most`` tokens.

        It goes on with an end of ``known`` as soon as it can: with what comes there after the
        token said last, first of all ``last``. A ``varied`` way does not go the same way each time
        that it comes to the same fork: in a recursive grammar that can be for ever.
        """
        place = place.deep_copy()
        yield _COPY
        if place.try_consume_tokens(list(begin)) < len(begin):
            return [], False
        ends: dict[int, list[int]] = defaultdict(list)
        for at in range(len(known), 0, -1):
            ends[known[at - 1]].append(at)
        found: list[int] = []
        met: dict[bytes, int] | None = {} if varied else None
        endless = 0
        while not place.is_accepting():
            if last in ends:
                rest = yield from self._joined(place, known, ends[last])
                if rest is not None:
                    found += rest
                    break
            forced: list[int] = place.compute_ff_tokens()
            step, text = (forced, False) if forced else self._marks.nearest(place, len(found), met)
            yield _NEXT
            if self._endings and not forced and not self._closes(place, step):
                step = (yield from self._ended(place)) or step
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

    def _closes(self, place: LLMatcher, step: list[int]) -> bool:
        """Whether ``step`` closes something."""
        if step != self._marks.quote:
            return self._marks.close(step)
        return self._quote_closes(place, [])

    def _quote_closes(self, place: LLMatcher, before: Sequence[int]) -> bool:
        """Whether a quote after ``before`` ends a text; one that may come twice is text itself."""
        quotes = [*self._marks.quote, *self._marks.quote]
        return bool(place.validate_tokens([*before, *quotes]) == len(before) + 1)

    def _ended(self, place: LLMatcher) -> Work[list[int]]:
        """The first of the endings after which free text can be closed; empty for none."""
        for tried, ending in enumerate(self._endings):
            if tried % _FIRST == 0:
                yield 1
            if place.validate_tokens(list(ending)) < len(ending):
                continue
            if self.lead_out(place, ending) or self._quote_closes(place, ending):
                return list(ending)
        return []

    def short(self, place: LLMatcher, most: int) -> Work[list[int] | None]:
        """A way that leads out in ``most`` tokens; ``None`` if there seems to be none."""
        found = yield from self.greedy(place, _bound(most))
        return (yield from self.shortened(place, *found, most))

    def shortened(
        self, place: LLMatcher, way: list[int], leads: bool, most: int
    ) -> Work[list[int] | None]:
        """The same, found by changing ``way``, of which ``leads`` says whether it leads out."""
        if most < 0:
            return None
        if not leads:
            other, leads = yield from self.greedy(place, _bound(most), varied=True)
            way = other if leads else way
        for room in () if leads else _ROOMS:
            way, leads = yield from self._improved(place, way, leads, most, room)
            if leads or room > _TIMES * most:
                break
        if not leads:
            return None
        if len(way) > most:
            way = yield from self._merged(place, way)
        for _ in range(_PASSES):
            if len(way) <= most:
                break
            before = way
            way, _ = yield from self._improved(place, way, True, most, len(way))
            way = yield from self._merged(place, way)
            if way == before:
                break
        return way if len(way) <= most else None

    def _joined(
        self, place: LLMatcher, known: Sequence[int], ends: Sequence[int]
    ) -> Work[list[int] | None]:
        """The shortest of the ``ends`` of ``known`` that leads out of ``place``."""
        for tried, at in enumerate(ends):
            begin = list(known[at : at + _FIRST])
            if tried % _FIRST == 0:
                yield 1
            if place.validate_tokens(begin) < len(begin):
                continue
            rest = list(known[at:])
            yield len(rest) // CHECKED
            if self.lead_out(place, rest):
                return rest
        return None

    def _merged(self, place: LLMatcher, way: list[int]) -> Work[list[int]]:
        """``way`` as the tokenizer would split its text, where that is shorter."""
        tokens: list[int] = self._tables.tokenize_bytes(self._tables.decode_bytes(way))
        yield 1 + len(way) // _SPLIT
        return tokens if len(tokens) < len(way) and self.lead_out(place, tokens) else way

    def _improved(
        self, place: LLMatcher, way: list[int], leads: bool, most: int, room: int
    ) -> Work[tuple[list[int], bool]]:
        """``way`` changed at its forks until it leads out in ``most`` tokens; whether it leads out.

        One that does not is not followed far, and changed to one of at most ``room`` tokens.
        """
        place = place.deep_copy()
        at, tries = 0, _TRIES if leads else _RESCUES
        while at < len(way) and (len(way) > most or not leads) and tries > 0:
            yield 1
            names = [] if place.compute_ff_tokens() else (yield from self._names(place))
            for name in names:
                left = (len(way) if leads else at + room) - at - len(name) - 1
                if left < 0:
                    continue
                tries -= 1
                known = way[at:] if leads else ()
                rest, found = yield from self.greedy(
                    place, left, name[-1], known, name, varied=not leads
                )
                if found:
                    way, leads = [*way[:at], *name, *rest], True
            place.try_consume_tokens(way[at : at + 1])
            at += 1
        return way, leads

    def _names(self, place: LLMatcher) -> Work[list[list[int]]]:
        """The names, words or beginnings of values that part at ``place``."""
        texts: list[bytes] = []
        going: list[tuple[bytes, LLMatcher]] = [(b"", place)]
        while going and len(texts) + len(going) <= _NAMES:
            said, here = going.pop()
            for byte, token in self._marks.fork(here):
                there = here.deep_copy()
                yield _COPY
                if there.try_consume_tokens([token]) < 1:
                    continue
                forced = there.compute_ff_bytes()
                if forced or byte in _BEGIN or there.is_accepting():
                    texts.append(said + byte + forced)
                else:
                    going.append((said + byte, there))
            yield 2
        # A space belongs to the token after it.
        names = [self._tables.tokenize_bytes(text.rstrip(b" ")) for text in texts]
        return [name for name in names if name and place.validate_tokens(name) == len(name)]


def _bound(most: int) -> int:
    """Tokens of the longest way that may be shortened to ``most``."""
    return min(_TIMES * most + _MORE, _LONGEST)
