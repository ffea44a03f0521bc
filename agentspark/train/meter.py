"""Running means of what a training step reports."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from agentspark.train.loss import LossParts


class Meter:
    """Means over the steps since the last ``take``."""

    def __init__(self, block: int) -> None:
        self.block = block
        self._reset()

    def _reset(self) -> None:
        self._sums = torch.zeros(6)
        self._tau = torch.zeros(2)
        self._blocks = self._anchors = self._steps = 0
        self._began = time.monotonic()

    def add(self, parts: LossParts, valid: Tensor, norm: float) -> None:
        """Take in one step; ``valid [R]`` says which rows count."""
        values = (parts.total.detach(), parts.ce, parts.l1, parts.confidence)
        self._sums[:4] += torch.stack([v.float().cpu() for v in values])
        self._sums[4] += norm
        whole = valid.view(-1, self.block)
        full = whole.all(dim=1).cpu()
        accept = parts.accept.view(-1, self.block).cpu()[full]
        hit = parts.hit.view(-1, self.block).float().cpu()[full]
        self._tau += torch.stack([t.cumprod(dim=1).sum() + len(t) for t in (accept, hit)])
        self._blocks += int(full.sum())
        self._anchors += whole.shape[0]
        self._steps += 1

    def take(self) -> dict[str, float]:
        """Return the means and begin anew.

        ``tau_sampled`` and ``tau_greedy`` are tokens a round would yield at the drawn anchors.
        """
        steps, blocks = max(self._steps, 1), max(self._blocks, 1)
        means = (self._sums / steps).tolist()
        taken = max(time.monotonic() - self._began, 1e-9)
        numbers = {
            "loss": means[0],
            "ce": means[1],
            "l1": means[2],
            "confidence": means[3],
            "grad_norm": means[4],
            "tau_sampled": float(self._tau[0]) / blocks,
            "tau_greedy": float(self._tau[1]) / blocks,
            "anchors_per_s": self._anchors / taken,
        }
        self._reset()
        return numbers
