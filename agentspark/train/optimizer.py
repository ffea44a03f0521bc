"""AdamW on float32 copies of a drafter, whatever it computes in."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class MasterAdamW:
    """AdamW with gradient clipping, whose state and weights are float32 whatever the model's.

    bfloat16 weights cannot take steps below 1/256 of their size, so each step updates a float32
    copy and rounds it into the model. With ``ema`` ``d`` an average of the weights is kept beside
    them, ``a = d a + (1 - d) w`` after every step, for ``written`` to show.
    """

    def __init__(
        self, model: nn.Module, *, weight_decay: float, clip: float, ema: float | None = None
    ) -> None:
        self.names = [n for n, p in model.named_parameters() if p.requires_grad]
        self.params: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        self.master = [
            p.detach().to(torch.float32, copy=True).requires_grad_() for p in self.params
        ]
        self.clip, self.ema = clip, ema
        self.average = None if ema is None else [m.detach().clone() for m in self.master]
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
                if self.average is not None and self.ema is not None:
                    torch._foreach_lerp_(self.average, self.master, 1.0 - self.ema)
        for master in self.master:
            master.grad = None
        return norm

    @contextmanager
    def written(self) -> Iterator[None]:
        """Put what a checkpoint holds into the model while the block runs.

        That is the average where there is one, and bfloat16 numbers whatever the model computes in.
        """
        shown = self.master if self.average is None else self.average
        with torch.no_grad():
            torch._foreach_copy_(self.params, [weight.bfloat16() for weight in shown])
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self.params, self.master)

    def state_dict(self) -> dict[str, Any]:
        """Return the float32 weights by name, their average if there is one, and Adam's state."""
        weights = {n: m.detach() for n, m in zip(self.names, self.master, strict=True)}
        state = {"weights": weights, "adam": self.adam.state_dict()}
        if self.average is not None:
            state["average"] = dict(zip(self.names, self.average, strict=True))
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a saved state and round its weights into the model.

        The average begins with the weights where the state has none. The decay of weights stays
        the one that was given here.
        """
        decay = self.adam.defaults["weight_decay"]
        with torch.no_grad():
            for name, master, param in zip(self.names, self.master, self.params, strict=True):
                weight: Tensor = state["weights"][name]
                master.copy_(weight)
                param.copy_(weight)
            if self.average is not None:
                found = state.get("average", state["weights"])
                for name, mean in zip(self.names, self.average, strict=True):
                    mean.copy_(found[name])
        self.adam.load_state_dict(state["adam"])
        for group in self.adam.param_groups:
            group["weight_decay"] = decay
