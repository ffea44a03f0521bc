"""Packed training blocks under one block mask: FlexAttention, what CUDA runs.

Queries of all blocks meet all keys in one call; the mask lets a slot see the context of its own
sequence before its anchor, and its own block. Tiles in which nothing is visible are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from agentspark.dspark.layer import Attend


def packed_flex(
    context: Sequence[tuple[Tensor, Tensor]],
    lengths: Sequence[int],
    anchors: Sequence[Tensor],
) -> Attend:
    """Return the attention of packed blocks; arguments and result as ``packed.packed_attend``."""
    device = context[0][0].device
    blocks = sum(a.numel() for a in anchors)
    masks: dict[tuple[int, int], BlockMask] = {}

    def attend(q: Tensor, k: Tensor, v: Tensor, layer: int, /) -> Tensor:
        past_k, past_v = context[layer]
        sizes = q.shape[1] // blocks, k.shape[1] // blocks
        if sizes not in masks:
            masks[sizes] = packed_mask(lengths, anchors, *sizes, device)
        mask = masks[sizes]
        keys, values = torch.cat((past_k, k), dim=1), torch.cat((past_v, v), dim=1)
        inputs = (q[None].contiguous(), keys[None].contiguous(), values[None].contiguous())
        if q.is_cuda:
            out = _compiled()(*inputs, block_mask=mask, enable_gqa=True)
        else:
            out = flex_attention(*inputs, block_mask=mask, enable_gqa=True)
        assert isinstance(out, Tensor)
        return out[0]

    return attend


def packed_mask(
    lengths: Sequence[int],
    anchors: Sequence[Tensor],
    block: int,
    keyed: int,
    device: torch.device,
) -> BlockMask:
    """Return the mask of all blocks' queries over all context tokens and then all blocks' keys.

    Sequence ``i`` has ``lengths[i]`` context tokens and blocks at the positions ``anchors[i]``,
    each of ``block`` queries and ``keyed`` keys.
    """
    counts = torch.tensor([a.numel() * block for a in anchors])
    spans = torch.tensor([int(n) for n in lengths])
    sequence = torch.arange(len(anchors))
    total, queries = int(spans.sum()), int(counts.sum())
    slots = queries // block * keyed
    anchor = torch.cat(list(anchors)).repeat_interleave(block).to(device)
    owner = sequence.repeat_interleave(counts).to(device)
    number = torch.arange(queries, device=device) // block
    # Behind the context come the blocks' keys, which belong to no sequence's context.
    of = torch.cat((sequence.repeat_interleave(spans), torch.full((slots,), -1))).to(device)
    at = torch.cat([torch.arange(int(n)) for n in spans] + [torch.arange(slots)]).to(device)

    def visible(b: Tensor, h: Tensor, row: Tensor, column: Tensor) -> Tensor:
        past = (of[column] == owner[row]) & (at[column] < anchor[row])
        own = (of[column] < 0) & (at[column] // keyed == number[row])
        return past | own

    return create_block_mask(visible, None, None, queries, total + slots, device=device)


@cache
def _compiled() -> Callable[..., Tensor]:
    kernel: Callable[..., Tensor] = torch.compile(flex_attention, dynamic=True)
    return kernel
