"""Which requests made numbers that are not finite, so that these end and others go on.

A broken weight or an overflow gives NaN or infinity. Attention reads a few keys beyond a sequence's
own and masks them, and a masked NaN is one still (0 times NaN is NaN): what one request leaves in
the pool reaches whoever reads beside it, in the same forward even. So nothing of such a forward is
committed. Who is at fault shows in the first layer where keys or values are not finite: a layer's
are written before it attends, so there they are still each request's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field

import torch

from agentspark.engine.memory import KVMemory
from agentspark.engine.runner import RowOutputs
from agentspark.engine.sequence import Sequence
from agentspark.errors import RequestError
from agentspark.kv.batch import token_slots
from agentspark.kv.store import KVStore


@dataclass(slots=True)
class Found:
    """``ending`` are the sequences at fault; ``cached``: what the cache keeps was cleared too.

    Nobody may be at fault: then drafts were, or what ended sequences left in the pool.
    """

    ending: list[Sequence] = field(default_factory=list)
    cached: bool = False


class Faults:
    """Looks into the pool and the logits of a forward that is not finite, and cleans the pool."""

    def __init__(self, store: KVStore, memory: KVMemory) -> None:
        self._store = store
        self._memory = memory

    def find(
        self,
        running: Seq[Sequence],
        committing: Mapping[Sequence, int],
        choosing: Seq[Sequence],
        outputs: RowOutputs,
    ) -> Found | None:
        """Who is at fault that ``outputs`` is not finite; ``None`` if all is finite after all.

        ``committing`` is how many rows of a sequence hold committed tokens. Drafts are nobody's
        fault: they need never be said. ``choosing`` are those with logits, their drafts' included.
        """
        places = self._store.clear_broken()
        if places is not None:
            first, every = places
            ending = [
                s
                for s in running
                if self._reads(s, first, s.computed + committing.get(s, 0))
                or self._reads(s, every, s.computed)
            ]
            return Found(ending, self._cached(running, every))
        # Behind the last keys and values a row is by itself.
        found, broken, row = Found(), False, 0
        for sequence in choosing:
            rows = outputs.logits[row : row + 1 + len(sequence.proposal)]
            row += len(rows)
            bad = _broken_rows(rows)
            broken |= any(bad)
            if bad[0]:
                found.ending.append(sequence)
        return found if broken else None

    def _reads(self, sequence: Sequence, slots: set[int], tokens: int) -> bool:
        """Whether the first ``tokens`` tokens of a sequence have one of these slots."""
        size = self._memory.pool.block_tokens
        return not slots.isdisjoint(token_slots(sequence.blocks, 0, tokens, size))

    def _cached(self, running: Seq[Sequence], slots: set[int]) -> bool:
        """Whether one of these slots is of a prefix in the cache."""
        size = self._memory.pool.block_tokens
        own = {block for s in running for block in s.blocks[-(-s.computed // size) :]}
        blocks = {slot // size for slot in slots if slot < self._memory.capacity} - own
        return any(self._memory.pool.references(block) for block in blocks)


def not_finite(sequence: Sequence) -> RequestError:
    """The error of a request that ``Faults.find`` names."""
    return RequestError(
        f"Request {sequence.request.id} ended: the model gave numbers for it that are not finite "
        "(NaN or infinity). Its weights may be broken, or too large for this dtype: get the model "
        "again, or load it with dtype='float32'. Other requests go on."
    )


def _broken_rows(logits: torch.Tensor) -> list[bool]:
    """Rows ``[R, V]`` of which no token can be told; a token may well be ruled out (-inf)."""
    rows = logits.float()
    best = rows.amax(dim=-1)  # NaN where any is
    broken: list[bool] = (~best.isfinite()).tolist()
    return broken
