"""Where a new drafter's weights come from: its target, as far as that helps.

Measured on a SmolLM2 target after 200 small steps: layers copied from the target's last ones
reach a cross-entropy of 5.1, random layers 6.7; principal components of the embedding as ``W1``
help a little over random rows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from agentspark.dspark.backbone import DraftLayer
from agentspark.dspark.heads import MarkovHead
from agentspark.dspark.model import DSparkModel
from agentspark.train.features import decoder_layers, target_matrices

_STD = 0.02
_FC_STD = 0.002
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_MLP = ("gate_proj", "up_proj", "down_proj")


@torch.no_grad()
def initialise(model: DSparkModel, target: PreTrainedModel, seed: int) -> None:
    """Set all weights of a new drafter.

    Layers of the same shapes are copied from the end of the target; others begin at random.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=_STD, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    backbone = model.backbone
    sources = list(decoder_layers(target))[-len(backbone.layers) :]
    copied = [
        _copy_layer(layer, source)
        for layer, source in zip(backbone.draft_layers(), sources, strict=False)
    ]
    final = getattr(target.base_model, "norm", None)
    if final is not None and final.weight.shape == backbone.norm.weight.shape:
        backbone.norm.weight.copy_(final.weight)
    if copied and copied[0]:
        _copy_context(model, sources[0], generator)
    if model.markov_head is not None:
        _begin_head(model.markov_head, model, target_matrices(target)[0])
    if model.confidence_head is not None:
        nn.init.zeros_(model.confidence_head.proj.weight)


def _copy_layer(layer: DraftLayer, source: Any) -> bool:
    """Copy a target layer where its shapes fit; say whether they did."""
    pairs: list[tuple[Tensor, Tensor]] = []
    for part, names in (("self_attn", _ATTENTION), ("mlp", _MLP)):
        for name in names:
            theirs = getattr(getattr(source, part, None), name, None)
            if theirs is None:
                return False
            pairs.append((getattr(getattr(layer, part), name).weight, theirs.weight))
    for name in ("input_layernorm", "post_attention_layernorm"):
        pairs.append((getattr(layer, name).weight, getattr(source, name).weight))
    if any(ours.shape != theirs.shape for ours, theirs in pairs):
        return False
    for ours, theirs in pairs:
        ours.copy_(theirs)
    attention = source.self_attn
    for name in ("q", "k"):
        norm = getattr(layer.self_attn, f"{name}_norm").weight
        theirs = getattr(attention, f"{name}_norm", None)
        if theirs is not None:
            norm.copy_(theirs.weight)
            continue
        # A target without these norms: keep the size that its queries and keys have on average.
        weight = getattr(attention, f"{name}_proj").weight.float()
        scaled = weight * source.input_layernorm.weight.float()
        norm.fill_(float(scaled.square().sum(dim=1).mean().sqrt()))
    return True


def _copy_context(model: DSparkModel, source: Any, generator: torch.Generator) -> None:
    """Let context features begin as what the copied layers were trained to read.

    That is the latest hidden state read, normed by the copied layer's own input norm.
    """
    backbone, width = model.backbone, model.config.hidden_size
    nn.init.normal_(backbone.fc.weight, std=_FC_STD, generator=generator)
    backbone.fc.weight[:, -width:] += torch.eye(width)
    backbone.hidden_norm.weight.copy_(source.input_layernorm.weight)


def _begin_head(head: MarkovHead, model: DSparkModel, embed: Tensor) -> None:
    """Begin ``W1`` with the embedding's principal components and ``W2`` with zero (no bias)."""
    nn.init.zeros_(head.markov_w2.weight)
    weight = head.markov_w1.weight
    whole = embed.float().cpu()
    mean = whole.mean(dim=0)
    ids = model.draft_token_ids
    rows = whole if ids is None or not model.config.markov_w1_pruned else whole[ids.cpu()]
    rank = min(weight.shape[1], whole.shape[1])
    centred = whole - mean
    _, directions = torch.linalg.eigh(centred.t() @ centred)
    components = (rows - mean) @ directions[:, -rank:]
    weight.zero_()
    weight[: rows.shape[0], :rank] = components / components.std(dim=0).clamp(min=1e-6)
