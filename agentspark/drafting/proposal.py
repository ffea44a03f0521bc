"""What a source of drafts hands to the planner and to verification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class DraftProbs:
    """The distributions that sampled drafts came from.

    ``rows`` is ``[m, V_draft]`` float32, each row summing to 1 *after* temperature, top-k, top-p
    and the like: exactly what the draft token was drawn from, or verification is not lossless.
    ``chosen`` is ``[m]``: the probability in row ``k`` of the token that was drawn.
    ``d2t`` maps a pruned draft vocabulary to target ids, ``[V_draft]`` int64, *absolute* ids
    (not the offsets that speculators files hold); ``None`` when both vocabularies are the same.
    """

    rows: Tensor
    chosen: Tensor
    d2t: Tensor | None = None

    @classmethod
    def of(cls, rows: Tensor, draft_ids: Sequence[int], d2t: Tensor | None = None) -> DraftProbs:
        """Look the drawn tokens up in ``rows``; ``draft_ids`` are ids of the *draft* vocabulary."""
        ids = torch.as_tensor(list(draft_ids), dtype=torch.long, device=rows.device)
        return cls(rows, rows.gather(1, ids.unsqueeze(1)).squeeze(1), d2t)

    def __len__(self) -> int:
        return int(self.rows.shape[0])

    def subtract_from(self, target_row: Tensor, k: int) -> Tensor:
        """``p_t - p_d`` of position ``k`` over the target vocabulary: a new ``[V]`` tensor."""
        if self.d2t is None:
            return target_row - self.rows[k]
        return target_row.index_add(0, self.d2t, self.rows[k], alpha=-1)

    def truncate(self, n: int) -> DraftProbs:
        """The first ``n`` rows (views)."""
        return DraftProbs(self.rows[:n], self.chosen[:n], self.d2t)


@dataclass(frozen=True, slots=True)
class Proposal:
    """Draft tokens for one request, to follow its anchor (its last committed token).

    ``token_ids`` are target ids. ``survival[k]`` estimates the probability that draft ``k`` and
    all before it are accepted; it never increases. ``probs`` says what the first ``len(probs)``
    drafts were drawn from; drafts beyond it (all of them when it is ``None``) are one-hot: a
    deterministic function of the tokens before them. ``source`` names the proposer
    ("dspark", "suffix", "none", "dspark+suffix", ...), ``key`` is what the source needs to learn
    from the outcome (opaque to everyone else).
    """

    token_ids: list[int] = field(default_factory=list)
    survival: list[float] = field(default_factory=list)
    probs: DraftProbs | None = None
    source: str = "none"
    key: object = None

    def __len__(self) -> int:
        return len(self.token_ids)

    @property
    def sampled(self) -> int:
        """How many drafts were drawn at random; the rest are one-hot."""
        return 0 if self.probs is None else len(self.probs)

    @property
    def deterministic(self) -> bool:
        """Whether no draft was drawn at random: then any way to cut it is lossless."""
        return self.probs is None

    @property
    def expected_accepted(self) -> float:
        """Expected number of accepted drafts if all of them are verified."""
        return sum(self.survival)

    def truncate(self, n: int) -> Proposal:
        """The first ``n`` drafts; the proposal itself when it has no more than that."""
        if n >= len(self.token_ids):
            return self
        if n <= 0:
            return Proposal(source=self.source, key=self.key)
        probs = self.probs.truncate(n) if self.probs is not None else None
        return Proposal(self.token_ids[:n], self.survival[:n], probs, self.source, self.key)


def one_hot(
    token_ids: Sequence[int], survival: Sequence[float], source: str, key: object = None
) -> Proposal:
    """A deterministic proposal, made from committed tokens alone."""
    return Proposal(list(token_ids), list(survival), None, source, key)
