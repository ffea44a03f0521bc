"""A trained drafter made larger before it goes on learning: longer blocks, more tokens to draft."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from agentspark.dspark.model import DraftModel, build_model
from agentspark.train.config import DrafterShape
from agentspark.train.loss import column_map
from agentspark.train.vocabulary import choose_draft_vocab


def grown(model: DraftModel, shape: DrafterShape, counts: Tensor) -> DraftModel:
    """Return the drafter with the block size and the larger draft vocabulary given in ``shape``.

    What it drafts stays as likely relative to each other. No weight belongs to a slot, so blocks
    may have any size. Tokens are added by ``counts [V]``; a smaller vocabulary, or the whole one
    where it was pruned, is not made. The target's matrices are to be attached anew.
    """
    if "block_size" in shape.given:
        model.config = replace(model.config, block_size=shape.block_size)
    ids, size = model.draft_token_ids, shape.draft_vocab_size
    if ids is None or size is None or "draft_vocab_size" not in shape.given:
        return model
    if not ids.numel() < size < model.config.vocab_size:
        return model
    return _with_tokens(model, choose_draft_vocab(counts, size, ids.tolist()))


def _with_tokens(model: DraftModel, ids: Tensor) -> DraftModel:
    """The drafter of the tokens ``ids``, its own ones among them.

    A new token begins with the mean of the others' biases, as trained ones have much in common,
    and as a previous token with the row that it had among all others.
    """
    larger = build_model(replace(model.config, draft_vocab_size=ids.numel()), ids)
    weights = model.state_dict()
    head = model.markov_head
    if head is not None:
        w1, w2 = head.markov_w1.weight, head.markov_w2.weight
        bias = w2.mean(dim=0).repeat(ids.numel(), 1)
        columns = column_map(model)[ids]
        bias[columns >= 0] = w2[columns[columns >= 0].to(w2.device)]
        weights["markov_head.markov_w2.weight"] = bias
        if head.rows is not None:
            others = torch.tensor([w1.shape[0] - 1])
            rows = torch.cat((head.rows[ids.to(head.rows.device)].cpu(), others))
            weights["markov_head.markov_w1.weight"] = w1[rows.to(w1.device)]
    larger.load_state_dict(weights)
    weight = model.backbone.fc.weight
    return larger.to(weight.device, weight.dtype)
