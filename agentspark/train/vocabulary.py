"""Which target tokens a drafter may draft: the most frequent ones in what the target says."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def count_tokens(sequences: Iterable[Tensor], vocab_size: int) -> Tensor:
    """Return how often each token occurs, ``[V]`` float64."""
    counts = torch.zeros(vocab_size, dtype=torch.float64)
    for tokens in sequences:
        counts += torch.bincount(tokens.flatten(), minlength=vocab_size)[:vocab_size]
    return counts


def blend_counts(responses: Tensor, prompts: Tensor, share: float = 0.6) -> Tensor:
    """Return relative frequencies: ``share`` of what the target says, the rest of what it reads.

    A few thousand responses do not show every token that a target uses; what it is asked about
    comes up in later answers.
    """
    return share * responses / responses.sum().clamp(min=1.0) + (
        1.0 - share
    ) * prompts / prompts.sum().clamp(min=1.0)


def choose_draft_vocab(counts: Tensor, size: int, always: Iterable[int] = ()) -> Tensor:
    """Return the ``size`` most frequent tokens, sorted by id.

    ``always`` are in whatever their count (end-of-sequence tokens). Ties go to lower ids, which
    byte-pair vocabularies give to more frequent tokens.
    """
    ranked = counts.clone()
    for token in always:
        ranked[token] = float("inf")
    order = torch.sort(ranked, descending=True, stable=True).indices
    return order[:size].sort().values


def coverage(counts: Tensor, chosen: Tensor) -> float:
    """Return the share of counted tokens that can be drafted."""
    return float(counts[chosen].sum() / counts.sum().clamp(min=1.0))
