"""What a grammar allows along drafts that are drawn one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentspark.sampling import bits as masks
from agentspark.sampling.bits import Bits

if TYPE_CHECKING:
    from llguidance import LLMatcher


class Lookahead:
    """A ``DraftMask`` that starts where its request is; ``matcher`` is its own copy.

    Once a draft is not allowed or ends the grammar, everything is allowed: what follows such a
    draft is never kept.
    """

    def __init__(self, matcher: LLMatcher, vocab_size: int) -> None:
        self._matcher = matcher
        self._vocab_size = vocab_size
        self._open = not matcher.is_stopped()

    def row(self) -> Bits | None:
        """What may come next, ``[1, W]``; ``None`` for anything."""
        if not self._open:
            return None
        found = masks.all_allowed(1, self._vocab_size)
        self._matcher.unsafe_compute_mask_ptr(found.ctypes.data, found.nbytes)
        return found

    def push(self, token: int) -> None:
        """Go on to the place after ``token``."""
        if self._open:
            taken = self._matcher.try_consume_tokens([token])
            self._open = taken == 1 and not self._matcher.is_stopped()
