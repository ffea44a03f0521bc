"""Many blocks of many sequences in one drafter pass.

Linear layers run on all tokens of a step at once; attention runs sequence by sequence. Its scores
have two parts, kept apart so that the work grows with ``anchors * (context + block)`` and not
with the square of the packed length: every query against the context before its anchor, and
every query against its own block. On CUDA one call under a block mask does the same (``flex.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from agentspark.dspark.backbone import Attend
from agentspark.dspark.model import DSparkModel
from agentspark.train.flex import packed_flex


@dataclass(frozen=True, slots=True)
class Example:
    """One sequence with what the target said about it.

    ``tokens [S]`` are prompt and response, ``start`` the first response position.
    ``hidden [S, m * d]`` are the chosen layers' states, ``last [S - start, d]`` the states that
    enter the LM head at the response positions (row ``i`` predicts token ``start + i + 1``),
    ``log_norm [S - start]`` (float32) the log of their softmax's denominator over the whole
    vocabulary and ``best [S - start]`` the most likely tokens.
    """

    tokens: Tensor
    start: int
    hidden: Tensor
    last: Tensor
    log_norm: Tensor
    best: Tensor


@dataclass(frozen=True, slots=True)
class Rows:
    """What the packed pass yields, ``R = N * K`` rows for ``N`` blocks of ``K`` slots.

    ``hidden [R, d]`` are the backbone's states. ``prev [R]`` and ``label [R]`` are target tokens,
    ``teacher [R]`` indexes the step's concatenated ``last`` rows, ``slot [R]`` is ``k - 1``, and
    ``valid [R]`` is false where the block reaches past the response.
    """

    hidden: Tensor
    prev: Tensor
    label: Tensor
    teacher: Tensor
    slot: Tensor
    valid: Tensor


def packed_attend(
    context: Sequence[tuple[Tensor, Tensor]],
    lengths: Sequence[int],
    anchors: Sequence[Tensor],
    block: int,
) -> Attend:
    """Return the attention of packed blocks.

    ``context`` holds each layer's ``k, v [Hkv, sum(lengths), D]``; sequence ``i`` has
    ``lengths[i]`` context tokens and blocks at the positions ``anchors[i]``. A slot sees the
    context strictly before its anchor and all slots of its own block.
    """
    device = context[0][0].device
    if device.type == "cuda":
        return packed_flex(context, lengths, anchors, block)
    spans = [int(n) for n in lengths]
    counts = [a.numel() for a in anchors]
    masks = [
        torch.arange(n, device=device)[None, None, :] >= a.to(device)[:, None, None]
        for n, a in zip(spans, anchors, strict=True)
    ]

    def attend(q: Tensor, k: Tensor, v: Tensor, layer: int, /) -> Tensor:
        keys, values = context[layer]
        rows = [count * block for count in counts]
        own = zip(q.split(rows, dim=1), k.split(rows, dim=1), v.split(rows, dim=1), strict=True)
        past = zip(keys.split(spans, dim=1), values.split(spans, dim=1), masks, strict=True)
        out = [
            _attend_one(q1, k1, v1, keys1, values1, hide, block)
            for (q1, k1, v1), (keys1, values1, hide) in zip(own, past, strict=True)
        ]
        return torch.cat(out, dim=1)

    return attend


def _attend_one(
    q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor, hide: Tensor, block: int
) -> Tensor:
    """Attend the blocks of one sequence: ``q [H, A * K, D]`` to ``[H, A * K, D]``."""
    heads, rows, dim = q.shape
    kv_heads, length = keys.shape[0], keys.shape[1]
    count, group = rows // block, heads // kv_heads
    q = q * (1.0 / math.sqrt(dim))
    far = torch.bmm(q.reshape(kv_heads, group * rows, dim), keys.transpose(1, 2))
    far = far.view(heads, count, block, length).masked_fill(hide, -math.inf)
    near_q = q.view(kv_heads, group, count, block, dim).transpose(1, 2)
    near_q = near_q.reshape(kv_heads * count, group * block, dim)
    near_k = k.reshape(kv_heads * count, block, dim)
    near = torch.bmm(near_q, near_k.transpose(1, 2))
    near = near.view(kv_heads, count, group, block, block).transpose(1, 2)
    near = near.reshape(heads, count, block, block)
    weights = torch.softmax(torch.cat((far, near), dim=-1), dim=-1)
    far, near = weights.split((length, block), dim=-1)
    out = torch.bmm(far.reshape(kv_heads, group * rows, length), values)
    near = near.reshape(kv_heads, group, count, block, block).transpose(1, 2)
    near = near.reshape(kv_heads * count, group * block, block)
    own = torch.bmm(near, v.reshape(kv_heads * count, block, dim))
    own = own.view(kv_heads, count, group, block, dim).transpose(1, 2)
    return out.view(heads, rows, dim) + own.reshape(heads, rows, dim)


def run_blocks(model: DSparkModel, examples: Sequence[Example], anchors: Sequence[Tensor]) -> Rows:
    """Run one block per anchor of every example through the backbone.

    ``anchors[i]`` are positions of ``examples[i]``, each at least ``start`` and before the last
    token.
    """
    block = model.config.block_size
    device, dtype = model.backbone.fc.weight.device, model.backbone.fc.weight.dtype
    # Positions from the last anchor on are no block's context.
    lengths = [int(a.max()) for a in anchors]
    hidden = torch.cat([e.hidden[:n] for e, n in zip(examples, lengths, strict=True)])
    features = model.backbone.context_features(hidden.to(device, dtype))
    places = torch.cat([torch.arange(n) for n in lengths]).to(device)
    context = model.backbone.context_kv(features, places)
    steps = torch.arange(block)
    tokens, labels, prev, valid, teacher, where = [], [], [], [], [], []
    offset = 0
    for example, at in zip(examples, anchors, strict=True):
        size = example.tokens.numel()
        position = at[:, None] + steps[None, :]
        tokens.append(example.tokens[at])
        prev.append(example.tokens[position.clamp(max=size - 1)])
        labels.append(example.tokens[(position + 1).clamp(max=size - 1)])
        valid.append(position + 1 < size)
        teacher.append(offset + (position.clamp(max=size - 1) - example.start))
        where.append(position)
        offset += example.last.shape[0]
    x = model.block_inputs(torch.cat(tokens).to(device))
    attend = packed_attend(context, lengths, anchors, block)
    out = model.backbone.block_hidden(x, torch.cat(where).flatten().to(device), attend)
    return Rows(
        hidden=out,
        prev=torch.cat(prev).flatten().to(device),
        label=torch.cat(labels).flatten().to(device),
        teacher=torch.cat(teacher).flatten().to(device),
        slot=steps.repeat(sum(a.numel() for a in anchors)).to(device),
        valid=torch.cat(valid).flatten().to(device),
    )
