"""Lossless verification: which drafts are kept, and the token that follows them.

The rule (speculative sampling; Leviathan et al. 2023, Chen et al. 2023). With ``p_t`` the target's
and ``p_d`` the drafter's distribution at a position, both after temperature and filters:

- draft ``x`` is accepted with probability ``min(1, p_t(x) / p_d(x))``;
- at the first rejection the next token is drawn from ``norm(max(0, p_t - p_d))``;
- if all are accepted, one more is drawn from ``p_t`` after the last draft.

Each token then follows ``p_t`` exactly, whatever ``p_d`` is. A one-hot draft (``p_d(x) = 1``) is
kept with probability ``p_t(x)`` and its rejection draws from ``p_t`` without ``x``. Greedy is the
case where ``p_t`` is one-hot too: a draft is kept if it is the argmax.

What is verified may be cut short (fewer rows than drafts) only by a rule that does not look at the
dropped drafts or at the last kept one: see ``dspark/scheduler.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agentspark.drafting.proposal import Proposal
from agentspark.engine.draw import draw_row, uniforms


def verify_greedy(argmax_ids: Sequence[int], drafts: Sequence[int]) -> tuple[int, int]:
    """Return ``(accepted, bonus)`` of one request.

    ``argmax_ids`` has ``k + 1`` entries: the target's choice after the anchor and after each of
    the ``k`` ``drafts``. ``bonus`` is the token after the accepted drafts.
    """
    if len(argmax_ids) != len(drafts) + 1:
        raise ValueError(f"{len(drafts)} drafts need {len(drafts) + 1} rows, got {len(argmax_ids)}")
    accepted = 0
    for choice, draft in zip(argmax_ids, drafts, strict=False):
        if choice != draft:
            break
        accepted += 1
    return accepted, argmax_ids[accepted]


def verify_sampled(
    target_probs: Tensor, proposal: Proposal, generator: torch.Generator | None
) -> tuple[int, int]:
    """Return ``(accepted, bonus)`` of one request, lossless.

    ``target_probs`` is ``[k + 1, V]`` float32, rows summing to 1: the target's processed
    distribution after the anchor and after each of the proposal's ``k`` drafts. The generator
    (of the request; CPU) gives ``k + 1`` numbers, however many drafts are accepted.
    """
    k = len(proposal)
    if target_probs.shape[0] != k + 1:
        raise ValueError(f"{k} drafts need {k + 1} rows, got {target_probs.shape[0]}")
    u = uniforms(k + 1, generator)
    accepted = _accepted(target_probs, proposal, u) if k else 0
    row = target_probs[accepted]
    if accepted < k:
        row = _residual(row, proposal, accepted)
    return accepted, draw_row(row, u[k])


def _accepted(target_probs: Tensor, proposal: Proposal, u: Sequence[float]) -> int:
    k = len(proposal)
    device = target_probs.device
    ids = torch.tensor(proposal.token_ids, device=device).unsqueeze(1)
    p_target = target_probs[:k].gather(1, ids).squeeze(1).tolist()
    p_draft = [1.0] * k
    if proposal.probs is not None:
        p_draft[: proposal.sampled] = proposal.probs.chosen.tolist()
    for i in range(k):
        # u < p_t / p_d without the division; u can be 0, so a token with p_t = 0 still fails.
        if not u[i] * p_draft[i] < p_target[i]:
            return i
    return k


def _residual(row: Tensor, proposal: Proposal, at: int) -> Tensor:
    """``max(0, p_t - p_d)`` at the rejected draft, ``[V]``, not normalised."""
    if proposal.probs is not None and at < proposal.sampled:
        residual = proposal.probs.subtract_from(row, at).clamp_(min=0.0)
        # The rejected token has p_t < p_d; rounding must not bring it back.
        residual[proposal.token_ids[at]] = 0.0
    else:
        residual = row.clone()
        residual[proposal.token_ids[at]] = 0.0
    # All mass gone means p_t = p_d up to rounding, where a rejection has probability ~0.
    return residual if bool(residual.sum() > 0) else row
