"""One request's place in its grammar: what may come next, along drafts and after them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from agentspark.engine.grammar.lookahead import Lookahead
from agentspark.engine.grammar.steering import Steering
from agentspark.sampling import bits as masks
from agentspark.sampling.bits import Bits

if TYPE_CHECKING:
    from llguidance import LLExecutor, LLMatcher


class GrammarState:
    """Follows the committed tokens of one request. Used by the loop thread alone.

    ``steering`` sees to it that the output ends before its tokens run out. Whatever looks ahead
    (``rows``, ``allows``, ``forced``) leaves the place as it was. A matcher may give up (a grammar
    too complex to follow at run time): ``failure`` then says why and the request must end.
    ``param`` names the request's field that asked for the grammar.
    """

    def __init__(
        self, matcher: LLMatcher, vocab_size: int, steering: Steering, *, param: str
    ) -> None:
        self.param = param
        self._matcher = matcher
        self._vocab_size = vocab_size
        self._steering = steering
        self._drafts: tuple[int, ...] = ()
        self._ahead: Bits | None = None
        self.failure: str | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing may follow, so that the request ends here."""
        return bool(self._matcher.is_stopped())

    @property
    def narrowed(self) -> bool:
        """Whether a token was said only because the tokens ran out."""
        return self._steering.narrowed

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
        self._drafts, self._ahead = wanted, found
        return found

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

    def advance(self, tokens: Sequence[int]) -> list[int]:
        """Commit ``tokens``; returns what was said.

        That is all of them, or those up to the one that completes the grammar, or up to one that
        was said instead because the tokens run out. A token that the grammar does not allow (none
        can be chosen) is a failure.
        """
        said: list[int] = []
        for token in tokens:
            said.append(self._steering.steered(self._matcher, token))
            self._matcher.consume_token(said[-1])
            self._check()
            if said[-1] != token or self.complete:
                break
        self._ahead = None
        return said

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
