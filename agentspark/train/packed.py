"""Attention of many blocks of many sequences at once.

Attention runs sequence by sequence. Its scores have two parts, kept apart so that the work grows
with ``anchors * (context + block)`` and not with the square of the packed length: every query
against the context before its anchor, and every query against its own block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from agentspark.dspark.layer import Attend
from agentspark.train.padded import packed_padded


def packed_attend(
    context: Sequence[tuple[Tensor, Tensor]],
    lengths: Sequence[int],
    anchors: Sequence[Tensor],
) -> Attend:
    """Return the attention of packed blocks.

    ``context`` holds each layer's ``k, v [Hkv, sum(lengths), D]``; sequence ``i`` has
    ``lengths[i]`` context tokens and blocks at the positions ``anchors[i]``. A query sees the
    context strictly before its block's anchor and all keys of its own block. Queries and keys
    come block by block, as many of each for every block; there may be more keys than queries (the
    steps of a chain before this one).
    """
    device = context[0][0].device
    if device.type == "cuda":
        return packed_padded(context, lengths, anchors)
    spans = [int(n) for n in lengths]
    counts = [a.numel() for a in anchors]
    masks = [
        torch.arange(n, device=device)[None, None, :] >= a.to(device)[:, None, None]
        for n, a in zip(spans, anchors, strict=True)
    ]

    def attend(q: Tensor, k: Tensor, v: Tensor, layer: int, /) -> Tensor:
        keys, values = context[layer]
        block, keyed = q.shape[1] // sum(counts), k.shape[1] // sum(counts)
        rows, own_keys = [n * block for n in counts], [n * keyed for n in counts]
        own = zip(
            q.split(rows, dim=1), k.split(own_keys, dim=1), v.split(own_keys, dim=1), strict=True
        )
        past = zip(keys.split(spans, dim=1), values.split(spans, dim=1), masks, strict=True)
        out = [
            _attend_one(q1, k1, v1, keys1, values1, hide)
            for (q1, k1, v1), (keys1, values1, hide) in zip(own, past, strict=True)
        ]
        return torch.cat(out, dim=1)

    return attend


def _attend_one(
    q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, hide: Tensor
) -> Tensor:
    """Attend the ``A`` blocks of one sequence: ``q [H, A * K, D]`` to ``[H, A * K, D]``.

    ``k`` and ``v`` are the blocks' own, ``keys`` and ``values`` the context's, of which ``hide [A,
    1, C]`` says what a block must not see.
    """
    heads, rows, dim = q.shape
    kv_heads, length = keys.shape[0], keys.shape[1]
    count, group = hide.shape[0], heads // kv_heads
    block, keyed = rows // count, k.shape[1] // count
    q = q * (1.0 / math.sqrt(dim))
    far = torch.bmm(q.reshape(kv_heads, group * rows, dim), keys.transpose(1, 2))
    far = far.view(heads, count, block, length).masked_fill(hide, -math.inf)
    near_q = q.view(kv_heads, group, count, block, dim).transpose(1, 2)
    near_q = near_q.reshape(kv_heads * count, group * block, dim)
    near_k = k.reshape(kv_heads * count, keyed, dim)
    near = torch.bmm(near_q, near_k.transpose(1, 2))
    near = near.view(kv_heads, count, group, block, keyed).transpose(1, 2)
    near = near.reshape(heads, count, block, keyed)
    weights = torch.softmax(torch.cat((far, near), dim=-1), dim=-1)
    far, near = weights.split((length, keyed), dim=-1)
    out = torch.bmm(far.reshape(kv_heads, group * rows, length), values)
    near = near.reshape(kv_heads, group, count, block, keyed).transpose(1, 2)
    near = near.reshape(kv_heads * count, group * block, keyed)
    own = torch.bmm(near, v.reshape(kv_heads * count, keyed, dim))
    own = own.view(kv_heads, count, group, block, dim).transpose(1, 2)
    return out.view(heads, rows, dim) + own.reshape(heads, rows, dim)
