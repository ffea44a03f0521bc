"""Remembering which tokens a generated text was made of, and after which prompt."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Turn:
    """A generated text: its tokens up to the first control token, and the text they leave out.

    ``end`` is that control token, if there was one and everything before it was kept. ``rest`` is
    not empty only where the text goes on behind a control token, or a stop string cut a token.
    """

    token_ids: tuple[int, ...]
    rest: str
    end: int | None


@dataclass(frozen=True, slots=True)
class Saying:
    """A turn as a client gives it back, and whose it is.

    ``reasoning`` is empty where the client sends none. A turn is found under the ``salt`` it was
    remembered under and no other: its tokens hold what only their own tenant may get back.
    """

    text: str
    reasoning: str = ""
    salt: str | None = None


class TurnMemory:
    """The last ``capacity`` generated turns, least recently used dropped first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._turns: OrderedDict[tuple[Saying, bytes], Turn] = OrderedDict()
        self._sayings: Counter[Saying] = Counter()

    def __len__(self) -> int:
        return len(self._turns)

    def __contains__(self, saying: Saying) -> bool:
        """Whether ``saying`` was generated after any prompt that is still remembered."""
        return saying in self._sayings

    def put(self, prompt_ids: Sequence[int], saying: Saying, turn: Turn) -> None:
        """Remember ``saying`` as ``turn`` after ``prompt_ids``; the latest wins."""
        key = (saying, _digest(prompt_ids))
        if self._turns.pop(key, None) is None:
            self._sayings[saying] += 1
        self._turns[key] = turn
        if len(self._turns) > self._capacity:
            (oldest, _), _ = self._turns.popitem(last=False)
            self._sayings[oldest] -= 1
            if not self._sayings[oldest]:
                del self._sayings[oldest]

    def get(self, prompt_ids: Sequence[int], saying: Saying) -> Turn | None:
        """The turn that gave ``saying`` after exactly ``prompt_ids``, if it is remembered."""
        key = (saying, _digest(prompt_ids))
        turn = self._turns.get(key)
        if turn is not None:
            self._turns.move_to_end(key)
        return turn


def make_turn(
    token_ids: Sequence[int],
    text: str,
    decode: Callable[[Sequence[int]], str],
    controls: frozenset[int],
) -> Turn | None:
    """The turn for ``text``, made of as many of ``token_ids`` as spell its beginning.

    Tokens behind a control token (the end of the turn, or what followed one that was ignored) and
    behind the place where a stop string cut the text are left out. ``None`` when nothing is left.
    """
    plain = 0
    while plain < len(token_ids) and token_ids[plain] not in controls:
        plain += 1
    kept = plain
    if decode(token_ids[:plain]) != text:
        lengths = range(plain + 1)
        kept = (
            bisect_right(lengths, len(text), key=lambda count: len(decode(token_ids[:count]))) - 1
        )
        while kept > 0 and not text.startswith(decode(token_ids[:kept])):
            kept -= 1
    if kept <= 0:
        return None
    end = token_ids[plain] if kept == plain < len(token_ids) else None
    return Turn(tuple(token_ids[:kept]), text[len(decode(token_ids[:kept])) :], end)


def _digest(token_ids: Sequence[int]) -> bytes:
    return hashlib.blake2b(array("q", token_ids).tobytes(), digest_size=16).digest()
