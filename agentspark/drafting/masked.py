"""Drafting under a grammar: a drafter draws from what may come next, and says so.

The distribution that verification is told must be the one a draft was drawn from, so the mask goes
on the drafter's logits before they become probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class DraftMask(Protocol):
    """What may come next in a request's draft."""

    def row(self) -> NDArray[np.int32] | None:
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
        flat = np.unpackbits(row.view(np.uint8), bitorder="little").view(np.bool_)
        allowed = torch.from_numpy(flat).to(logits.device)
        allowed = allowed[: logits.shape[1]] if token_ids is None else allowed[token_ids]
        if bool(allowed.any()):
            masked[index].masked_fill_(~allowed, float("-inf"))
    return masked


def follow(grammars: Sequence[DraftMask | None], tokens: Sequence[int]) -> None:
    """Move every request's mask past its draft."""
    for grammar, token in zip(grammars, tokens, strict=True):
        if grammar is not None:
            grammar.push(token)
