"""Drafts under a grammar: forced tokens are sure, forbidden ones are not worth a row.

Nothing here changes what comes out. A token that the grammar forces has probability 1 in the
target's masked distribution, so as a one-hot draft it always survives. A draft that the grammar
forbids has probability 0 there; cutting it (and what follows it) changes nothing where the output
does not depend on the drafts (greedy, seeded) and where the draft was a copy (rejecting a one-hot
draft of probability 0 draws from the target's distribution, which is what cutting it does). A
draft that was *drawn* stays: its rejection has to draw from the residual of the distribution it
was drawn from. Drafters that draw are given the grammar (``Lookahead``), so such drafts are rare.
"""

from __future__ import annotations

from agentspark.drafting.choose import extend
from agentspark.drafting.proposal import Proposal, one_hot
from agentspark.engine.grammar.state import GrammarState
from agentspark.sampling import bits as masks

SOURCE = "grammar"
# A run of forced tokens is sure to be kept: it may be longer than a guess.
MAX_FORCED = 31


def copy_under(grammar: GrammarState, copy: Proposal, limit: int) -> Proposal:
    """``copy`` as far as the grammar allows it, or what the grammar forces where that is longer."""
    forced = grammar.forced(min(limit, MAX_FORCED))
    kept = copy.truncate(grammar.allows(copy.token_ids))
    if len(kept) > len(forced):
        return surely(grammar, kept)
    return one_hot(forced, [1.0] * len(forced), SOURCE) if forced else kept


def under(grammar: GrammarState, proposal: Proposal, limit: int, *, fixed: bool) -> Proposal:
    """``proposal`` as far as it can be kept, followed by what the grammar forces after it.

    ``fixed`` says that the output does not depend on the drafts. ``limit`` bounds the drafts.
    """
    valid = grammar.allows(proposal.token_ids)
    if valid < len(proposal):
        if not fixed and valid < proposal.sampled:
            # As sure as if it were valid: whether a draft is verified must not depend on what it
            # is, and a row behind one that is not allowed leaves everything open.
            return surely(grammar, proposal)
        proposal = proposal.truncate(valid)
    proposal = surely(grammar, proposal)
    room = min(limit - len(proposal), MAX_FORCED)
    tail = grammar.forced(room, proposal.token_ids) if proposal.token_ids else []
    return extend(proposal, one_hot(tail, [1.0] * len(tail), SOURCE)) if tail else proposal


def surely(grammar: GrammarState, proposal: Proposal) -> Proposal:
    """``proposal`` with its survival raised where the grammar leaves one token only."""
    if not proposal.token_ids:
        return proposal
    only = masks.single(grammar.rows(proposal.token_ids))
    survival: list[float] = []
    before, reached = 1.0, 1.0
    for survives, sure in zip(proposal.survival, only, strict=False):
        if not sure:
            reached *= survives / before if before > 0 else 0.0
        before = survives
        survival.append(reached)
    return Proposal(proposal.token_ids, survival, proposal.probs, proposal.source, proposal.key)
