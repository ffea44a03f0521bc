"""Unrolled chains of many sequences: each step learns on what the step before put out.

A chain begins at an anchor with the target's feature before it; later steps read their own
outputs, as when drafting (Eagle3's training-time test), with the response's tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agentspark.dspark.model import ChainModel
from agentspark.train.packed import packed_attend
from agentspark.train.rows import Example, Rows, label_rows


def run_chains(model: ChainModel, examples: Sequence[Example], anchors: Sequence[Tensor]) -> Rows:
    """Run one chain of ``block_size`` steps per anchor; see ``blocks.run_blocks``."""
    backbone, block = model.backbone, model.config.block_size
    device, dtype = backbone.fc.weight.device, backbone.fc.weight.dtype
    # Entries from the last anchor on are no chain's context.
    lengths = [int(a.max()) for a in anchors]
    hidden = torch.cat([e.hidden[:n] for e, n in zip(examples, lengths, strict=True)])
    features = backbone.features(hidden.to(device, dtype)).split(lengths)
    before = torch.cat([torch.cat((torch.zeros_like(f[:1]), f[:-1])) for f in features])
    tokens = torch.cat([e.tokens[:n] for e, n in zip(examples, lengths, strict=True)])
    places = torch.cat([torch.arange(n) for n in lengths]).to(device)
    context = backbone.key_value(model.token_inputs(tokens.to(device)), before, places)
    over = packed_attend([context], lengths, anchors)
    keys: list[Tensor] = []
    values: list[Tensor] = []

    def attend(q: Tensor, k: Tensor, v: Tensor, layer: int, /) -> Tensor:
        keys.append(k)
        values.append(v)
        own_k, own_v = (torch.stack(s, dim=2).flatten(1, 2) for s in (keys, values))
        return over(q, own_k, own_v, layer)

    feature = torch.cat([f[at.to(device) - 1] for f, at in zip(features, anchors, strict=True)])
    where = torch.cat(list(anchors))
    out = []
    for k in range(block):
        known = [
            e.tokens[(at + k).clamp(max=e.tokens.numel() - 1)]
            for e, at in zip(examples, anchors, strict=True)
        ]
        embedded = model.token_inputs(torch.cat(known).to(device))
        feature = backbone.step(embedded, feature, (where + k).to(device), attend)
        out.append(backbone.hidden(feature))
    return label_rows(torch.stack(out, dim=1).flatten(0, 1), examples, anchors, block)
