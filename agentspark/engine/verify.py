"""Lossless verification: which drafts are kept, and the token that follows them.

The rule is block verification (Sun et al. 2024, arXiv 2403.10444, algorithm 2). With ``p_t`` the
target's and ``p_d`` the drafter's distribution at a position, both after temperature and filters,
and ``x[1..k]`` the drafts:

- ``r[0] = 1``, ``r[i] = min(1, r[i-1] * p_t(x[i]) / p_d(x[i]))`` is the probability with which at
  least ``i`` of these drafts are kept;
- ``s[i] = sum(max(0, r[i] * p_t - p_d))``, over the tokens after draft ``i``, is the probability
  with which exactly ``i`` are;
- from the end on, ``i`` drafts are kept with probability ``s[i] / (s[i] + 1 - r[i])``, all ``k``
  with ``r[k]``;
- then the next token is drawn from ``max(0, r[i] * p_t - p_d)``, normed, or after all of them from
  ``p_t``.

Each token then follows ``p_t`` exactly, whatever ``p_d`` is. Deciding one token after the other
(keep ``x`` with probability ``min(1, p_t(x) / p_d(x))``; Leviathan et al. 2023) does so too, but
forgets that a draft which the target likes better than the drafter makes up for one before it: no
rule keeps more than a block's, and on 48 dev prompts a round yields 1.85 tokens by it and 1.76 one
by one (temperature 1, whole blocks), 1.99 and 1.93 at 0.7. For one draft, and for copies (one-hot:
``p_d(x) = 1``), both are the same. Greedy is the case where ``p_t`` is one-hot too: a draft is kept
if it is the argmax.

What is verified may be cut short (fewer rows than drafts) only by a rule that does not look at the
dropped drafts or at the last kept one: see ``dspark/scheduler.py``. Whether ``x[i]`` is the last is
then known from ``x[1..i]``, which is all that the sums above need.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agentspark.drafting.proposal import Proposal
from agentspark.sampling.draw import draw_row, uniforms


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
    *u, last = uniforms(k + 1, generator)
    reached = _reached(target_probs, proposal)
    if not k or u[-1] < reached[k]:
        return k, draw_row(target_probs[k], last)
    for kept in range(k - 1, 0, -1):
        # ``s`` is never more than ``r``, so most sums need not be made.
        if u[kept - 1] < reached[kept]:
            excess, s = _excess(target_probs, proposal, kept, reached[kept])
            if reached[kept] == 1.0 or u[kept - 1] * (s + 1.0 - reached[kept]) < s:
                return kept, draw_row(excess, last)
    return 0, draw_row(_excess(target_probs, proposal, 0, 1.0)[0], last)


def _reached(target_probs: Tensor, proposal: Proposal) -> list[float]:
    """``r[0..k]``: with which probability at least so many of these drafts are kept."""
    k = len(proposal)
    if not k:
        return [1.0]
    ids = torch.tensor(proposal.token_ids, device=target_probs.device).unsqueeze(1)
    p_target = target_probs[:k].gather(1, ids).squeeze(1).tolist()
    p_draft = [1.0] * k
    if proposal.probs is not None:
        p_draft[: proposal.sampled] = proposal.probs.chosen.tolist()
    reached = [1.0]
    for target, draft in zip(p_target, p_draft, strict=True):
        reached.append(min(1.0, reached[-1] * target / draft))
    return reached


def _excess(
    target_probs: Tensor, proposal: Proposal, kept: int, reached: float
) -> tuple[Tensor, float]:
    """``max(0, r * p_t - p_d)`` of the token after ``kept`` drafts, ``[V]``, and its sum."""
    row = target_probs[kept] * reached
    if kept < proposal.sampled:
        assert proposal.probs is not None, "drafts are sampled from something"
        row = proposal.probs.subtract_from(row, kept).clamp_(min=0.0)
    # Where the next draft is not kept it has r * p_t < p_d; rounding must not bring it back.
    row[proposal.token_ids[kept]] = 0.0
    mass = float(row.sum())
    # All mass gone means r = 1 and p_t = p_d up to rounding, where a rejection has probability ~0.
    return (row if mass > 0.0 else target_probs[kept]), mass
