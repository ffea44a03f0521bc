"""Which source drafts for a request: one budget over all of them.

Two decisions, so that nothing is drafted in vain and sampled output stays exact.

**Before drafting** (``prefer_copy``): a suffix match may be so good that the drafter's pass is not
worth its time. Decided from committed tokens alone: the match, and how far the drafter's earlier
proposals got (``DraftRecord``). No draft has been drawn yet, so this is lossless at any
temperature.

**After drafting**: a greedy request may take or combine whatever looks best (``merge``): argmax
verification gives the same tokens whatever is proposed. A sampled request must not: choosing
between a drawn draft and a copy by the *value* of the draft would leave only a biased selection
of drawn tokens to verify. It may have its drafts *extended* (``extend``): a copy that follows the
drafts is a deterministic function of them, i.e. a one-hot draft distribution after that prefix.
"""

from __future__ import annotations

from collections.abc import Sequence

from agentspark.common import common_prefix
from agentspark.drafting.proposal import Proposal
from agentspark.drafting.survival import SurvivalEstimator
from agentspark.dspark.costs import CostTable


def best_rate(
    survival: Sequence[float],
    cost: CostTable,
    *,
    base_tokens: int,
    base_yield: float,
    drafted: int,
) -> float:
    """Best expected tokens per second of a round that may verify any prefix of one proposal.

    ``base_tokens`` rows and ``base_yield`` expected tokens are in the round without it (its
    request's anchor and bonus included); ``drafted`` requests go through the drafter.
    """
    draft_s = cost.draft_seconds(drafted)
    tau = base_yield
    best = tau / (cost.seconds(base_tokens) + draft_s)
    for k, survives in enumerate(survival, start=1):
        tau += survives
        best = max(best, tau / (cost.seconds(base_tokens + k) + draft_s))
    return best


def prefer_copy(
    copy: Proposal,
    drafter_survival: Sequence[float],
    cost: CostTable,
    *,
    base_tokens: int = 1,
    base_yield: float = 1.0,
    others_drafted: int = 0,
) -> bool:
    """Whether to verify ``copy`` (one-hot) and leave the drafter out for this request.

    ``drafter_survival`` is what the drafter is expected to give, from its record. Compares the
    best rate of a round with the copy and ``others_drafted`` requests drafted to that of one
    with the draft and one request more.
    """
    if not copy.token_ids:
        return False
    with_copy = best_rate(
        copy.survival,
        cost,
        base_tokens=base_tokens,
        base_yield=base_yield,
        drafted=others_drafted,
    )
    with_draft = best_rate(
        drafter_survival,
        cost,
        base_tokens=base_tokens,
        base_yield=base_yield,
        drafted=others_drafted + 1,
    )
    return with_copy >= with_draft


def extend(draft: Proposal, copy: Proposal) -> Proposal:
    """``draft`` followed by ``copy``, which was proposed for the context plus the whole draft.

    The copy's survival becomes that of the prefix before it times its own. Lossless at any
    temperature.
    """
    if not copy.token_ids or not draft.token_ids:
        return draft
    reached = draft.survival[-1]
    return Proposal(
        draft.token_ids + copy.token_ids,
        draft.survival + [reached * survives for survives in copy.survival],
        draft.probs,
        f"{draft.source}+{copy.source}",
        (draft.key, copy.key),
    )


def merge(draft: Proposal, copy: Proposal) -> Proposal:
    """The better of two proposals for a *greedy* request, or both where they agree.

    While both propose the same tokens, the more hopeful survival counts. From where they part,
    the one that expects more tokens from there on goes on. A draft that was drawn at random loses
    its distributions here: only argmax verification may follow.
    """
    if not copy.token_ids or not draft.token_ids:
        return draft if draft.token_ids else copy
    same = common_prefix(draft.token_ids, copy.token_ids)
    agreed = [max(d, c) for d, c in zip(draft.survival[:same], copy.survival[:same], strict=True)]
    draft_rest = _conditional(draft.survival, same)
    copy_rest = _conditional(copy.survival, same)
    winner, rest = (draft, draft_rest) if sum(draft_rest) >= sum(copy_rest) else (copy, copy_rest)
    reached = agreed[-1] if agreed else 1.0
    source = f"{draft.source}+{copy.source}" if same else winner.source
    return Proposal(
        list(winner.token_ids),
        agreed + [reached * survives for survives in rest],
        None,
        source,
        (draft.key, copy.key) if same else winner.key,
    )


class DraftRecord:
    """How far one request's earlier drafts got: what to expect before the next is drawn."""

    def __init__(self, block_size: int, prior: float = 0.6) -> None:
        self._block = block_size
        self._estimator = SurvivalEstimator(lambda _: prior, max_positions=block_size)

    def expected(self) -> list[float]:
        """Expected survival of each position of the next draft, ``[block]``."""
        return self._estimator.survival(None, self._block)

    def update(self, verified: int, accepted: int) -> None:
        """Add a round that verified so many of the drafter's own tokens and kept so many."""
        if verified:
            self._estimator.update(None, verified, accepted)

    def fade(self) -> None:
        """Add a round that verified none of the drafter's tokens: what is known gets old."""
        self._estimator.update(None, 0, 0)


def _conditional(survival: Sequence[float], reached: int) -> list[float]:
    """Survival of what comes after ``reached`` drafts, given that those survive."""
    if not reached:
        return list(survival)
    before = survival[reached - 1]
    return [s / before if before > 0 else 0.0 for s in survival[reached:]]
