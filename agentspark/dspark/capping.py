"""Logits that cannot grow without bound, as some targets have them."""

from __future__ import annotations

import torch
from torch import Tensor


def capped(logits: Tensor, cap: float | None) -> Tensor:
    """Return ``c tanh(z / c)`` of logits ``z`` of any shape, or ``z`` itself without a cap."""
    return logits if cap is None else torch.tanh(logits / cap) * cap
