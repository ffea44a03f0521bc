"""Random draws of one request: its own generator, uniforms, tokens by inverse CDF."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def make_generator(seed: int | None) -> torch.Generator:
    """The random source of one request, on the CPU whatever the device: draws are few.

    The same seed gives the same stream on every device; ``None`` seeds from the system.
    """
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed & 0xFFFFFFFFFFFFFFFF)
    return generator


def uniforms(n: int, generator: torch.Generator | None) -> list[float]:
    """``n`` numbers in [0, 1) with 53 random bits."""
    drawn: list[float] = torch.rand(n, dtype=torch.float64, generator=generator).tolist()
    return drawn


def draw_row(weights: Tensor, u: float) -> int:
    """Token drawn from ``weights`` ``[V]`` (not negative, any positive sum) with uniform ``u``."""
    return draw_rows(weights.unsqueeze(0), [u])[0]


def draw_rows(weights: Tensor, u: Sequence[float]) -> list[int]:
    """One token per row of ``weights`` ``[R, V]``, by inverse CDF summed in float64.

    A token of weight 0 is never drawn. Row ``r`` depends on its own weights and ``u[r]`` only.
    Raises ``ValueError`` for weights that are not finite, of which no token could be told.
    """
    cdf = weights.cumsum(dim=1, dtype=torch.float64)
    total = cdf[:, -1:].contiguous()
    at = torch.tensor(u, dtype=torch.float64, device=weights.device).unsqueeze(1) * total
    # u * total can round up to total, where no token is left.
    at = torch.minimum(at, torch.nextafter(total, torch.zeros_like(total)))
    chosen: list[int] = torch.searchsorted(cdf, at, right=True).squeeze(1).tolist()
    # Beyond the last token where the sum is no number.
    if max(chosen, default=0) >= weights.shape[1]:
        raise ValueError("the model's probabilities are not finite")
    return chosen


def draw_tokens(probs: Tensor, generators: Sequence[torch.Generator | None]) -> list[int]:
    """One token per row of ``probs`` ``[R, V]``; row ``r`` uses (and advances) its generator."""
    return draw_rows(probs, [uniforms(1, generator)[0] for generator in generators])
