"""Drafter against target, once, at load: do they belong together?"""

from __future__ import annotations

import hashlib
from typing import Protocol

import torch
from torch import Tensor

from agentspark.dspark.config import DrafterConfig
from agentspark.errors import DrafterMismatchError

_ROWS = 64


class TargetShape(Protocol):
    """What the check reads of a target's spec."""

    @property
    def num_layers(self) -> int:
        """Decoder layers."""

    @property
    def hidden_size(self) -> int:
        """Width of a hidden state."""

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding."""


def target_fingerprint(embed: Tensor, lm_head: Tensor) -> str:
    """Return a short hash of a target's weights: rows of its embedding and of its LM head.

    Rows are taken evenly over the vocabulary and rounded to bfloat16, so a target loaded in
    another dtype or on another device has the same name, and a fine-tuned one a different one.
    """
    digest = hashlib.sha256()
    for weight in (embed, lm_head):
        rows = torch.linspace(0, weight.shape[0] - 1, _ROWS).long().unique()
        taken = weight.detach()[rows.to(weight.device)].to("cpu", torch.bfloat16).contiguous()
        digest.update(str(tuple(weight.shape)).encode())
        digest.update(taken.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()[:16]


def check_drafter(
    config: DrafterConfig, target: TargetShape, fingerprint: str, advice: str | None = None
) -> None:
    """Raise ``DrafterMismatchError`` unless the drafter was made for this target.

    ``fingerprint`` is ``target_fingerprint`` of the target's matrices. A drafter without one
    (made elsewhere) is checked by shapes alone. ``advice`` says what to do where the drafter is
    what is wanted, not the target.
    """
    for name, have, want in (
        ("hidden size", config.hidden_size, target.hidden_size),
        ("vocabulary", config.vocab_size, target.vocab_size),
        ("number of target layers", config.num_target_layers, target.num_layers),
    ):
        if have is not None and have != want:
            raise DrafterMismatchError(
                f"the drafter was made for a target with {name} {have}, this target has {want}: "
                f"{advice or 'give the drafter of this target, or no drafter'}."
            )
    made_for = config.target_fingerprint
    if made_for is not None and made_for != fingerprint:
        raise DrafterMismatchError(
            f"the drafter was trained for other weights of the same shape (target {made_for}, "
            f"this one is {fingerprint}): "
            f"{advice or 'give the drafter of this target, or train one'}."
        )
