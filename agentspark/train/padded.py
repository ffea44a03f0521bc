"""Packed training blocks as one padded batch of sequences: what CUDA runs.

One fused attention call per layer for all sequences of a step, under a mask that is made once.
FlexAttention over the packed rows was no faster on an H200, in one rough comparison (0.3 s a step
of 64 sequences either way), and compiles for twenty seconds first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from agentspark.dspark.layer import Attend


def packed_padded(
    context: Sequence[tuple[Tensor, Tensor]],
    lengths: Sequence[int],
    anchors: Sequence[Tensor],
) -> Attend:
    """Return the attention of packed blocks; arguments and result as ``packed.packed_attend``."""
    device = context[0][0].device
    counts = [a.numel() for a in anchors]
    spans = Padding([int(n) for n in lengths], device)
    past = [(spans.apart(keys), spans.apart(values)) for keys, values in context]
    paddings: dict[int, Padding] = {}
    masks: dict[tuple[int, int], Tensor] = {}

    def of_blocks(size: int) -> Padding:
        if size not in paddings:
            paddings[size] = Padding([n * size for n in counts], device)
        return paddings[size]

    def attend(q: Tensor, k: Tensor, v: Tensor, layer: int, /) -> Tensor:
        block, keyed = q.shape[1] // sum(counts), k.shape[1] // sum(counts)
        if (block, keyed) not in masks:
            masks[block, keyed] = padded_mask(lengths, anchors, block, keyed, device)
        rows, own = of_blocks(block), of_blocks(keyed)
        keys = torch.cat((past[layer][0], own.apart(k)), dim=2)
        values = torch.cat((past[layer][1], own.apart(v)), dim=2)
        group = q.shape[0] // k.shape[0]
        out = F.scaled_dot_product_attention(
            rows.apart(q),
            keys.repeat_interleave(group, dim=1),
            values.repeat_interleave(group, dim=1),
            attn_mask=masks[block, keyed],
        )
        return rows.together(out)

    return attend


class Padding:
    """Takes sequences of ``sizes`` tokens that follow each other apart, each to its own row.

    By one gather each way: a copy for every sequence costs a GPU more in launches than in work.
    """

    def __init__(self, sizes: Sequence[int], device: torch.device) -> None:
        self.count, self.widest = len(sizes), max(sizes)
        size = torch.tensor(sizes)
        at, start = torch.arange(self.widest), size.cumsum(0) - size
        real = at[None] < size[:, None]
        # What the padding holds is never seen; spread over all tokens, so that its gradients,
        # which are zero, do not queue for one of them.
        places = torch.arange(real.numel()).view_as(real) % int(size.sum())
        self.places = torch.where(real, start[:, None] + at[None], places).flatten().to(device)
        self.back = real.flatten().nonzero()[:, 0].to(device)

    def apart(self, x: Tensor) -> Tensor:
        """Return ``[B, H, max(sizes), D]`` of ``x [H, T, D]``."""
        rows = x.index_select(1, self.places)
        return rows.view(x.shape[0], self.count, self.widest, -1).transpose(0, 1)

    def together(self, x: Tensor) -> Tensor:
        """Return ``[H, T, D]`` of ``x [B, H, max(sizes), D]``."""
        return x.transpose(0, 1).flatten(1, 2).index_select(1, self.back)


def padded_mask(
    lengths: Sequence[int], anchors: Sequence[Tensor], block: int, keyed: int, device: torch.device
) -> Tensor:
    """Return ``[B, 1, Q, K]``: what each query sees of its sequence's context and blocks.

    A query sees the context before its block's anchor and its own block. Rows of the padding see
    a block of the padding, so that no row of the softmax is empty.
    """
    at = pad_sequence(list(anchors), batch_first=True).to(device)
    widest = at.shape[1]
    context = torch.arange(max(lengths), device=device)
    past = context[None, None] < at[:, :, None]
    past = past.repeat_interleave(block, dim=1)
    query = torch.arange(widest * block, device=device) // block
    key = torch.arange(widest * keyed, device=device) // keyed
    own = (query[:, None] == key[None, :]).expand(len(lengths), -1, -1)
    return torch.cat((past, own), dim=2)[:, None]
