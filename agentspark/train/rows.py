"""A sequence to learn from, and the rows of a packed pass with what each is to predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Example:
    """One sequence with what the target said about it.

    ``tokens [S]`` are prompt and response, ``start`` the first response position.
    ``hidden [S, m * d]`` are the chosen layers' states, ``last [P, d]`` the states that enter the
    LM head at the last ``P`` positions, ``log_norm [P]`` (float32) the log of their softmax's
    denominator over the whole vocabulary and ``best [P]`` the most likely tokens. ``P`` is at
    least ``S - start``; where it is more, the prompt can be learned from too.
    """

    tokens: Tensor
    start: int
    hidden: Tensor
    last: Tensor
    log_norm: Tensor
    best: Tensor

    @property
    def first(self) -> int:
        """The first position whose prediction is known: row ``i`` predicts ``first + i + 1``."""
        return self.tokens.numel() - self.last.shape[0]

    @property
    def own_words(self) -> Tensor:
        """``[S - start - 1]``: whether the response's later tokens are the most likely ones."""
        return self.best[self.start - self.first : -1].cpu() == self.tokens[self.start + 1 :]

    @property
    def finite(self) -> bool:
        """Whether all that the target said is a number."""
        return all(bool(t.isfinite().all()) for t in (self.hidden, self.last, self.log_norm))

    def cpu(self) -> Example:
        """Return the example with its tensors on the CPU, where ``tokens`` always are."""
        return replace(
            self, hidden=self.hidden.cpu(), last=self.last.cpu(),
            log_norm=self.log_norm.cpu(), best=self.best.cpu(),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rows:
    """What the packed pass yields, ``R = N * K`` rows for ``N`` blocks of ``K`` slots.

    ``hidden [R, d]`` are the states that the LM head reads. ``prev [R]`` and ``label [R]`` are
    target tokens, ``teacher [R]`` indexes the step's concatenated ``last`` rows, ``slot [R]`` is
    ``k - 1``, and ``valid [R]`` is false where the block reaches past the response.
    """

    hidden: Tensor
    prev: Tensor
    label: Tensor
    teacher: Tensor
    slot: Tensor
    valid: Tensor


def label_rows(
    hidden: Tensor, examples: Sequence[Example], anchors: Sequence[Tensor], block: int
) -> Rows:
    """Return the rows of ``hidden [N * block, d]``: one block per anchor, in order.

    Slot ``k`` of the block at anchor ``p`` predicts the token at ``p + k``, after that before it.
    """
    steps = torch.arange(block)
    labels, prev, valid, teacher = [], [], [], []
    offset = 0
    for example, at in zip(examples, anchors, strict=True):
        size = example.tokens.numel()
        position = at[:, None] + steps[None, :]
        prev.append(example.tokens[position.clamp(max=size - 1)])
        labels.append(example.tokens[(position + 1).clamp(max=size - 1)])
        valid.append(position + 1 < size)
        teacher.append(offset + (position.clamp(max=size - 1) - example.first))
        offset += example.last.shape[0]
    device = hidden.device
    return Rows(
        hidden=hidden,
        prev=torch.cat(prev).flatten().to(device),
        label=torch.cat(labels).flatten().to(device),
        teacher=torch.cat(teacher).flatten().to(device),
        slot=steps.repeat(sum(a.numel() for a in anchors)).to(device),
        valid=torch.cat(valid).flatten().to(device),
    )
