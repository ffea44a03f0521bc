"""A pruned drafter written with whole vocabularies, drafting exactly what it drafted before.

Formats differ in what they can prune. Two things have to be unfolded:

- *The previous token's rows* (``W1``): tokens that share a row get a copy each.
- *The draft vocabulary*: the LM head gets all rows back, so something must keep the tokens that
  could not be drafted from being drafted. No layer has a bias over the vocabulary, but the
  sequential head is linear in its latent: one more latent number, always 1, and a column of ``W2``
  that is strongly negative at those tokens. The softmax over the rest is unchanged.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from agentspark.dspark.config import DrafterConfig
from agentspark.dspark.model import DSparkModel

# A logit this low has probability 0 in any dtype, and fits float16.
_BAR = -1e4
# sigmoid and tanh of it are 1 in every dtype.
_SURE = 30.0
# Ranks stay multiples of this, which matrix units like.
_ALIGN = 8


@torch.no_grad()
def unfold_previous(model: DSparkModel) -> DSparkModel:
    """Return the drafter with a row of ``W1`` per target token, and draft tokens in order."""
    config, head = model.config, model.markov_head
    if head is None or not config.markov_w1_pruned:
        return model
    ids = model.draft_token_ids
    state = dict(model.state_dict())
    everything = torch.arange(config.vocab_size, device=head.markov_w1.weight.device)
    state["markov_head.markov_w1.weight"] = head.previous(everything)
    return _built(replace(config, markov_w1_pruned=False), ids, state, model)


@torch.no_grad()
def sort_draft_tokens(model: DSparkModel) -> DSparkModel:
    """Return the drafter with its draft vocabulary in the order of the target's ids."""
    ids = model.draft_token_ids
    if ids is None or bool((ids.diff() > 0).all()):
        return model
    order = ids.argsort()
    state = dict(model.state_dict())
    if model.markov_head is not None:
        name = "markov_head.markov_w2.weight"
        state[name] = state[name][order]
        if model.config.markov_w1_pruned:
            name, shared = "markov_head.markov_w1.weight", order.new_tensor([ids.numel()])
            state[name] = state[name][torch.cat((order, shared))]
    return _built(model.config, ids[order], state, model)


@torch.no_grad()
def unfold_vocabulary(model: DSparkModel) -> DSparkModel:
    """Return the drafter with no pruned vocabulary at all; the same where none is pruned."""
    model = unfold_previous(model)
    config, ids = model.config, model.draft_token_ids
    if ids is None:
        return model
    old = config.markov_rank
    rank = (old // _ALIGN + 1) * _ALIGN
    state = dict(model.state_dict())
    like = model.backbone.fc.weight
    w1 = like.new_zeros(config.vocab_size, rank)
    w2 = like.new_zeros(config.vocab_size, rank)
    w1[:, old] = 1.0
    w2[:, old] = _BAR
    w2[ids, old] = 0.0
    if model.markov_head is not None:
        w1[:, :old] = model.markov_head.markov_w1.weight
        w2[ids, :old] = model.markov_head.markov_w2.weight
    state["markov_head.markov_w1.weight"], state["markov_head.markov_w2.weight"] = w1, w2
    width = config.hidden_size
    if "markov_head.gate_proj.weight" in state:
        _widen(state, "markov_head.gate_proj", (width, old), (width, rank), rank, old)
    if "markov_head.joint_proj.weight" in state:
        narrow, wide = (old, old, width), (rank, rank, width)
        _widen(state, "markov_head.joint_proj", narrow, wide, rank, old)
    if "confidence_head.proj.weight" in state and config.confidence_head_with_markov:
        weight = state["confidence_head.proj.weight"]
        state["confidence_head.proj.weight"] = torch.cat(
            (weight, weight.new_zeros(1, rank - old)), dim=1
        )
    kind = config.markov_head_type if old else "vanilla"
    changed = replace(config, draft_vocab_size=None, markov_rank=rank, markov_head_type=kind)
    return _built(changed, None, state, model)


def _widen(
    state: dict[str, Tensor], name: str, inputs: tuple[int, ...], wider: tuple[int, ...],
    rank: int, old: int,
) -> None:  # fmt: skip
    """Give a head's projection ``rank`` outputs per gate and wider inputs; old numbers stay.

    The last gate (the output, or the only gate) of the new latent number ``old`` is open.
    """
    weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
    gates = bias.numel() // old
    columns, start = [], 0
    for size in wider:
        columns.append(start)
        start += size
    new = weight.new_zeros(gates * rank, start)
    new_bias = bias.new_zeros(gates * rank)
    for gate in range(gates):
        rows = slice(gate * rank, gate * rank + old)
        parts = weight[gate * old : (gate + 1) * old].split(inputs, dim=1)
        for part, column in zip(parts, columns, strict=True):
            new[rows, column : column + part.shape[1]] = part
        new_bias[rows] = bias[gate * old : (gate + 1) * old]
    new_bias[(gates - 1) * rank + old] = _SURE
    state[f"{name}.weight"], state[f"{name}.bias"] = new, new_bias


def _built(
    config: DrafterConfig, ids: Tensor | None, state: dict[str, Tensor], like: DSparkModel
) -> DSparkModel:
    """A drafter of these weights, without its target's matrices."""
    model = DSparkModel(config, ids)
    model.load_state_dict(state)
    weight = like.backbone.fc.weight
    return model.to(weight.device, weight.dtype).eval().requires_grad_(False)
