"""The training objective, row by row, without ever holding all logits at once.

``L = a * CE(x*) + b * ||p_d - p_t||_1 + c * BCE(confidence, 1 - ||p_d - p_t||_1 / 2)``, each row
weighted by ``exp(-(k - 1) / g)`` and the sum divided by the weights. With a pruned draft
vocabulary ``p_t`` stays the distribution over the whole vocabulary: its mass on tokens that
cannot be drafted counts in the L1 distance, and a label that cannot be drafted has no CE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from agentspark.dspark.model import DraftModel
from agentspark.train.blocks import Example, Rows

# Logits held at once: a few megabytes, so that they stay in a CPU's cache; what fills a GPU.
CHUNK_ELEMENTS, CUDA_CHUNK_ELEMENTS = 1 << 20, 1 << 27


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """Weights of the three terms and the decay ``g`` of positions (``None``: all alike)."""

    ce: float = 0.1
    l1: float = 0.9
    confidence: float = 1.0
    decay: float | None = 4.0


@dataclass(frozen=True, slots=True)
class LossParts:
    """One step's losses; ``total`` alone carries a gradient.

    ``accept [R]`` is the probability that a row's draft is accepted at temperature 1 (float32)
    and ``hit [R]`` whether the most likely draft is the target's most likely token, ``own [R]``
    whether it is the response's own one.
    """

    total: Tensor
    ce: Tensor
    l1: Tensor
    confidence: Tensor
    accept: Tensor
    hit: Tensor
    own: Tensor


class _HeadLoss(torch.autograd.Function):
    """CE and L1 of ``softmax(h W^T + e W2^T)``, with the gradient formed while logits are there.

    With ``cap`` ``c`` the first part is ``c tanh(h W^T / c)``, as in a target that caps its logits.
    For logits ``z`` with ``p = softmax(z)``: ``dCE/dz = p - onehot`` and, with
    ``s = sign(p - p_t)``, ``dL1/dz = p * (s - <s, p>)``. Returns the weighted sum, and without
    gradient the rows' CE, their L1 over the draft vocabulary and their argmax.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, latent: Tensor, w2: Tensor, lm_head: Tensor, target: Tensor,
        index: Tensor, label: Tensor, ce_weight: Tensor, l1_weight: Tensor, cap: float | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        rows, vocab = hidden.shape[0], lm_head.shape[0]
        ce, l1 = (torch.zeros(rows, device=hidden.device) for _ in range(2))
        best = torch.zeros(rows, dtype=torch.int64, device=hidden.device)
        need = any(ctx.needs_input_grad)
        d_hidden, d_latent = torch.empty_like(hidden), torch.empty_like(latent)
        d_w2 = torch.zeros_like(w2, dtype=torch.float32)
        most = CUDA_CHUNK_ELEMENTS if hidden.is_cuda else CHUNK_ELEMENTS
        step = max(1, most // vocab)
        for low in range(0, rows, step):
            at = slice(low, low + step)
            known = label[at, None]
            bias, slope = latent[at] @ w2.t(), None
            if cap is None:
                z = torch.addmm(bias, hidden[at], lm_head.t())
            else:
                z = torch.tanh(hidden[at] @ lm_head.t() / cap)
                slope = 1.0 - z.float().square()
                z = z * cap + bias
            top, best[at] = z.max(dim=-1)
            z = z.float()
            z_known = z.gather(1, known)[:, 0]
            p = z.sub_(top[:, None]).exp_()
            norm = p.sum(dim=-1)
            p.div_(norm[:, None])
            ce[at] = norm.log() + top - z_known
            gap = p - target[index[at]]
            l1[at] = torch.linalg.vector_norm(gap, 1, dim=-1)
            if need:
                sign = gap.sign_()
                lean = torch.linalg.vecdot(sign, p)[:, None]
                grad = p.mul_(sign.sub_(lean).mul_(l1_weight[at, None]).add_(ce_weight[at, None]))
                grad.scatter_add_(1, known, -ce_weight[at, None])
                grad = grad.to(hidden.dtype)
                d_latent[at] = grad @ w2
                raw = grad if slope is None else grad * slope.to(grad.dtype)
                d_hidden[at] = raw @ lm_head
                d_w2 += grad.t() @ latent[at]
        ctx.save_for_backward(d_hidden, d_latent, d_w2.to(w2.dtype))
        ctx.mark_non_differentiable(ce, l1, best)
        return (ce * ce_weight).sum() + (l1 * l1_weight).sum(), ce, l1, best

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        d_hidden, d_latent, d_w2 = ctx.saved_tensors
        grad = grads[0]
        return (grad * d_hidden, grad * d_latent, grad * d_w2, *([None] * 7))


def teacher_probs(model: DraftModel, examples: Sequence[Example], at: Tensor) -> Tensor:
    """Return ``p_t`` on the draft vocabulary at rows ``at [N]``, ``[N, V_draft]`` float32.

    ``at`` indexes the examples' concatenated ``last``. Rows sum to less than one by the mass of
    the tokens that cannot be drafted.
    """
    if model.lm_head is None:
        raise ValueError("attach_target must be called before the loss")
    head = model.lm_head
    last = torch.cat([e.last for e in examples]).to(head.device, head.dtype)[at]
    norm = torch.cat([e.log_norm for e in examples]).to(head.device)[at]
    return model.capped(last @ head.t()).float().sub_(norm[:, None]).exp_()


def block_loss(
    model: DraftModel,
    examples: Sequence[Example],
    rows: Rows,
    columns: Tensor,
    weights: LossWeights,
) -> LossParts:
    """Return the losses of one packed pass; ``columns [V]`` is -1 for undraftable tokens."""
    head = model.markov_head
    if model.lm_head is None:
        raise ValueError("attach_target must be called before the loss")
    with torch.no_grad():
        # Blocks overlap, and not all that the target said is asked for.
        asked, teacher = rows.teacher.unique(return_inverse=True)
        target = teacher_probs(model, examples, asked)
        outside = (1.0 - target.sum(dim=-1)).clamp_(min=0.0)[teacher]
        best = torch.cat([e.best for e in examples]).to(target.device)[rows.teacher]
        weight = rows.valid.float()
        if weights.decay is not None:
            weight = weight * torch.exp(-rows.slot.float() / weights.decay)
        weight = weight / weight.sum().clamp(min=1e-6)
        label = columns[rows.label]
        ce_weight = weights.ce * weight * (label >= 0)
    hidden, k = rows.hidden, model.config.block_size
    shaped, prev = hidden.view(-1, k, hidden.shape[-1]), rows.prev.view(-1, k)
    if head is None:
        latent, w2 = hidden.new_zeros(hidden.shape[0], 1), hidden.new_zeros(target.shape[1], 1)
    else:
        latent, w2 = head.block_latent(prev, shaped).flatten(0, 1), head.markov_w2.weight
    total, ce, l1, drafted = _HeadLoss.apply(  # type: ignore[no-untyped-call]
        hidden, latent, w2, model.lm_head, target, teacher, label.clamp(min=0),
        ce_weight, weights.l1 * weight, model.config.final_logit_softcapping,
    )  # fmt: skip
    l1 = l1 + outside
    total = total + (weights.l1 * weight * outside).sum()
    accept = (1.0 - 0.5 * l1).clamp(0.0, 1.0)
    confidence = total.new_zeros(())
    if model.confidence_head is not None and weights.confidence > 0.0:
        logit = model.confidence_head(hidden, None if head is None else head.previous(rows.prev))
        each = F.binary_cross_entropy_with_logits(logit, accept, reduction="none")
        confidence = (each * weight).sum()
        total = total + weights.confidence * confidence
    return LossParts(
        total=total,
        ce=((ce * weight * (label >= 0)).sum()).detach(),
        l1=(l1 * weight).sum().detach(),
        confidence=confidence.detach(),
        accept=accept,
        hit=(drafted == columns[best]),
        own=(drafted == label),
    )


def column_map(model: DraftModel) -> Tensor:
    """Return ``[V]``: the draft-logit column of each target token, -1 where it has none."""
    size = model.config.vocab_size
    if model.draft_token_ids is None:
        return torch.arange(size)
    columns = torch.full((size,), -1, dtype=torch.int64)
    columns[model.draft_token_ids.cpu()] = torch.arange(model.draft_token_ids.numel())
    return columns
