"""Drafting under a grammar: a drafter draws from what may come next, and says so.

The distribution that verification is told must be the one a draft was drawn from, so the mask goes
on the drafter's logits before they become probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from agentspark.sampling.bits import Bits, allowed


class DraftMask(Protocol):
    """What may come next in a request's draft."""

    def row(self) -> Bits | None:
        """One bit per token of the target's vocabulary, ``[1, W]``; ``None`` for anything."""

    def push(self, token: int) -> None:
        """Go on to the place after a draft (a target id)."""


def mask_logits(
    logits: Tensor, grammars: Sequence[DraftMask | None], token_ids: Tensor | None
) -> Tensor:
    """``logits`` ``[B, V_draft]`` with ``-inf`` where a request's mask forbids a token.

    ``token_ids`` ``[V_draft]`` are the target's ids of a pruned vocabulary. A row of which nothing
    would be left stays as it is: its draft will be rejected.
    """
    if all(grammar is None for grammar in grammars):
        return logits
    masked = logits.clone()
    for index, grammar in enumerate(grammars):
        row = None if grammar is None else grammar.row()
        if row is None:
            continue
        # A pruned vocabulary's tokens may be any of the target's, a whole one's are its first.
        width = logits.shape[1] if token_ids is None else 32 * row.shape[1]
        may_come = torch.from_numpy(allowed(row, width)[0]).to(logits.device)
        if token_ids is not None:
            may_come = may_come[token_ids]
        if bool(may_come.any()):
            masked[index].masked_fill_(~may_come, float("-inf"))
    return masked


def follow(grammars: Sequence[DraftMask | None], tokens: Sequence[int]) -> None:
    """Move every request's mask past its draft."""
    for grammar, token in zip(grammars, tokens, strict=True):
        if grammar is not None:
            grammar.push(token)
