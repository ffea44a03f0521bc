"""What is reported of a chosen token beside its id."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Log-probability of a chosen token and of its best alternatives (natural log)."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()
