"""One request's place in its grammar: what may come next, along drafts and after them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from agentspark.engine.grammar import bits as masks
from agentspark.engine.grammar.bits import Bits
from agentspark.engine.grammar.closing import HORIZON, Closing, slack
from agentspark.engine.grammar.lookahead import Lookahead

if TYPE_CHECKING:
    from llguidance import LLExecutor, LLMatcher


# More tokens than any text that ends a section.
_SEEN = 32


class GrammarState:
    """Follows the committed tokens of one request. Used by the loop thread alone.

    ``limit`` is how many tokens there may be; near it what is open gets closed (see ``closing``).
    Whatever looks ahead (``rows``, ``allows``, ``forced``) leaves the place as it was. A matcher
    may give up (a grammar too complex to follow at run time): ``failure`` then says why and the
    request must end.
    """

    def __init__(self, matcher: LLMatcher, vocab_size: int, limit: int, closing: Closing) -> None:
        self._matcher = matcher
        self._vocab_size = vocab_size
        self._left = limit
        self._slack = slack(limit)
        self._closing = closing
        self._inside: list[int] | None = []  # the last tokens said, while in the first section
        self._drafts: tuple[int, ...] = ()
        self._ahead: Bits | None = None
        self._way: list[int] = []  # once the tokens run out: how the output goes on from here
        self._turn: tuple[int, list[int]] | None = None  # the row where that begins, and how
        self.failure: str | None = None
        self.narrowed = False
        """Whether a token was chosen only because the tokens ran out."""

    @property
    def complete(self) -> bool:
        """Whether nothing may follow, so that the request ends here."""
        return bool(self._matcher.is_stopped())

    @property
    def accepting(self) -> bool:
        """Whether the output may end here."""
        return bool(self._matcher.is_accepting())

    def rows(self, drafts: Sequence[int] = ()) -> Bits:
        """What is allowed after the committed tokens and after each of ``drafts``, ``[k + 1, W]``.

        Rows after a draft that is not allowed, or that ends the grammar, allow everything: the
        tokens there are never kept.
        """
        wanted = tuple(drafts)
        if self._ahead is not None and self._drafts[: len(wanted)] == wanted:
            return self._ahead[: len(wanted) + 1]
        found = masks.all_allowed(len(wanted) + 1, self._vocab_size)
        if wanted:
            _executor().unsafe_compute_mask_ptr_with_draft_token(
                [(self._matcher, 0, list(wanted))], found.ctypes.data, found.strides[0], len(found)
            )
        else:
            self._matcher.unsafe_compute_mask_ptr(found.ctypes.data, found.nbytes)
        self._check()
        self._turn = None
        if self._way or self._left - len(wanted) <= HORIZON:
            self._close(found, wanted)
        self._drafts, self._ahead = wanted, found
        return found

    def _close(self, rows: Bits, drafts: Sequence[int]) -> None:
        """Leave only the way out in rows that have no tokens left for anything else."""
        place, sure = self._matcher.deep_copy(), masks.single(rows)
        way = self._way
        for row in range(len(rows)):
            if row:
                draft = drafts[row - 1]
                if place.try_consume_tokens([draft]) < 1 or (way and draft != way[0]):
                    return  # a draft that is never kept
                way = way[1:]
            if place.is_stopped():
                return
            left = self._left - row
            if not way and left <= HORIZON and not sure[row] and not place.is_accepting():
                inside = self._inside is not None and self._closing.inside(
                    [*self._inside, *drafts[:row]]
                )
                found = self._closing.way(place, left, inside=inside)
                if found and len(found) + self._slack >= left:
                    way, self._turn = found, (row, found)
            if way:
                masks.leave(rows, row, way[0])

    def allows(self, tokens: Sequence[int]) -> int:
        """How many of ``tokens``, from the first on, the grammar allows."""
        return int(self._matcher.validate_tokens(list(tokens))) if tokens else 0

    def forced(self, limit: int, after: Sequence[int] = ()) -> list[int]:
        """Up to ``limit`` tokens that are the only ones possible, after ``after`` (all allowed)."""
        if limit <= 0 or self.failure is not None:
            return []
        taken = self._matcher.try_consume_tokens(list(after)) if after else 0
        found = list(self._matcher.compute_ff_tokens()) if taken == len(after) else []
        if taken:
            self._matcher.rollback(taken)
        self._check()
        return found[:limit]

    def advance(self, tokens: Sequence[int]) -> int:
        """Commit ``tokens`` up to the one that completes the grammar; returns how many those are.

        A token that the grammar does not allow (none can be chosen) is a failure.
        """
        count = 0
        for token in tokens:
            count += 1
            self._matcher.consume_token(token)
            self._check()
            if self.failure is not None or self._matcher.is_stopped():
                break
        self._left -= count
        if self._way:
            self._way = self._way[count:]
        elif self._turn is not None and self._turn[0] < count:
            row, way = self._turn
            self._way, self.narrowed = way[count - row :], True
        self._ahead, self._turn = None, None
        if self._inside is not None:
            self._inside = [*self._inside, *tokens[:count]]
            still = self._closing.inside(self._inside)
            self._inside = self._inside[-_SEEN:] if still else None
        return count

    def lookahead(self) -> Lookahead:
        """A second place that follows drafts while they are drawn."""
        return Lookahead(self._matcher.deep_copy(), self._vocab_size)

    def _check(self) -> None:
        if self._matcher.is_error() and self.failure is None:
            self.failure = str(self._matcher.get_error()).splitlines()[0]


@cache
def _executor() -> LLExecutor:
    """One thread: a row takes some 10 us, handing it to others takes longer."""
    from llguidance import LLExecutor

    return LLExecutor(1)
