"""AdamW on float32 copies of a drafter that computes in another dtype."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn


class MasterAdamW:
    """AdamW with gradient clipping, whose state and weights are float32 whatever the model's.

    bfloat16 weights cannot take steps below 1/256 of their size, so each step updates a float32
    copy and rounds it into the model.
    """

    def __init__(self, model: nn.Module, *, weight_decay: float, clip: float) -> None:
        self.names = [n for n, p in model.named_parameters() if p.requires_grad]
        self.params: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        self.master = [
            p.detach().to(torch.float32, copy=True).requires_grad_() for p in self.params
        ]
        self.clip = clip
        self.adam = torch.optim.AdamW(
            self.master, lr=1e-3, betas=(0.9, 0.95), weight_decay=weight_decay, fused=True
        )

    def step(self, lr: float) -> float:
        """Apply the model's gradients and clear them; return their norm before clipping.

        Nothing is applied where the norm is not finite.
        """
        for master, param in zip(self.master, self.params, strict=True):
            master.grad = None if param.grad is None else param.grad.float()
            param.grad = None
        norm = float(nn.utils.clip_grad_norm_(self.master, self.clip))
        if math.isfinite(norm):
            for group in self.adam.param_groups:
                group["lr"] = lr
            self.adam.step()
            with torch.no_grad():
                torch._foreach_copy_(self.params, self.master)
        for master in self.master:
            master.grad = None
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Return the float32 weights by name and Adam's state."""
        weights = {n: m.detach() for n, m in zip(self.names, self.master, strict=True)}
        return {"weights": weights, "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a saved state and round its weights into the model."""
        with torch.no_grad():
            for name, master, param in zip(self.names, self.master, self.params, strict=True):
                weight: Tensor = state["weights"][name]
                master.copy_(weight)
                param.copy_(weight)
        self.adam.load_state_dict(state["adam"])
