"""Many blocks of many sequences in one drafter pass.

Linear layers run on all tokens of a step at once; attention runs sequence by sequence
(``packed.py``), on CUDA in one call for a padded batch under a mask (``padded.py``). Chains take a
step for each slot (``chains.py``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from agentspark.dspark.model import ChainModel, DraftModel, DSparkModel
from agentspark.train.chains import run_chains
from agentspark.train.packed import packed_attend
from agentspark.train.rows import Example, Rows, label_rows

__all__ = ["Example", "Rows", "run_blocks"]


def run_blocks(model: DraftModel, examples: Sequence[Example], anchors: Sequence[Tensor]) -> Rows:
    """Run one block per anchor of every example through a drafter of any family.

    ``anchors[i]`` are positions of ``examples[i]``, each at least ``first`` and before the last
    token.
    """
    if isinstance(model, ChainModel):
        return run_chains(model, examples, anchors)
    assert isinstance(model, DSparkModel)
    device, dtype = model.backbone.fc.weight.device, model.backbone.fc.weight.dtype
    # Positions from the last anchor on are no block's context.
    lengths = [int(a.max()) for a in anchors]
    hidden = torch.cat([e.hidden[:n] for e, n in zip(examples, lengths, strict=True)])
    features = model.backbone.context_features(hidden.to(device, dtype))
    places = torch.cat([torch.arange(n) for n in lengths]).to(device)
    context = model.backbone.context_kv(features, places)
    tokens = [e.tokens[at] for e, at in zip(examples, anchors, strict=True)]
    slots = torch.arange(model.config.slots)
    where = torch.cat([at[:, None] + slots for at in anchors]).flatten().to(device)
    x = model.block_inputs(torch.cat(tokens).to(device))
    out = model.backbone.block_hidden(x, where, packed_attend(context, lengths, anchors))
    out = model.drafting_slots(out).flatten(0, 1)
    return label_rows(out, examples, anchors, model.config.block_size)
