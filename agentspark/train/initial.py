"""Where a new drafter's weights come from: its target, as far as that helps.

Measured on a SmolLM2 target after 200 small steps: layers copied from the target's last ones
reach a cross-entropy of 5.1, random layers 6.7; principal components of the embedding as ``W1``
help a little over random rows. Chains (Eagle3, MTP) begin with the target's last layer too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from agentspark.dspark.backbone import DraftBackbone
from agentspark.dspark.chain import ChainBackbone
from agentspark.dspark.gemma4 import Gemma4Layer
from agentspark.dspark.heads import MarkovHead
from agentspark.dspark.layer import DraftAttention, DraftLayer
from agentspark.dspark.model import DraftModel
from agentspark.models.modules import decoder_layers, target_matrices

_STD = 0.02
_FC_STD = 0.002
_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_MLP = ("gate_proj", "up_proj", "down_proj")
_OUTER_NORMS = ("pre_feedforward_layernorm", "post_feedforward_layernorm")


@torch.no_grad()
def initialise(model: DraftModel, target: PreTrainedModel, seed: int) -> None:
    """Set all weights of a new drafter.

    Layers of the same shapes are copied from the end of the target; others begin at random.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=_STD, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    backbone, layers = model.backbone, list(decoder_layers(target))
    final = getattr(target.get_decoder(), "norm", None)
    if final is not None and final.weight.shape == backbone.norm.weight.shape:
        backbone.norm.weight.copy_(final.weight)
    if isinstance(backbone, ChainBackbone):
        _copy_chain(backbone, layers[-1], generator)
    else:
        sources = _alike(layers)[-len(backbone.layers) :]
        copied = [
            _copy_layer(layer, source)
            for layer, source in zip(backbone.draft_layers(), sources, strict=False)
        ]
        if copied and copied[0]:
            _copy_context(backbone, sources[0], generator)
    if model.markov_head is not None:
        _begin_head(model.markov_head, model, target_matrices(target)[0])
    if model.confidence_head is not None:
        nn.init.zeros_(model.confidence_head.proj.weight)


def _alike(layers: list[nn.Module]) -> list[nn.Module]:
    """The layers that attend to everything with keys of their own, where a target has others."""
    attention = [getattr(layer, "self_attn", None) for layer in layers]
    whole = [
        layer
        for layer, own in zip(layers, attention, strict=True)
        if not getattr(own, "is_sliding", False) and not getattr(own, "is_kv_shared_layer", False)
    ]
    return whole or layers


def _copy_layer(layer: DraftLayer | ChainBackbone, source: Any, width: int | None = None) -> bool:
    """Copy a target layer where its shapes fit; say whether they did.

    With ``width``, queries, keys and values are wider and their last ``width`` inputs are copied.
    Norms stand in other places in another style's layers, which are not copied then.
    """
    if any(hasattr(layer, name) != hasattr(source, name) for name in _OUTER_NORMS):
        return False
    pairs: list[tuple[Tensor, Tensor]] = []
    for part, names in (("self_attn", _ATTENTION), ("mlp", _MLP)):
        for name in names:
            theirs = getattr(getattr(source, part, None), name, None)
            if theirs is None and getattr(getattr(layer, part), name) is None:
                continue  # keys that are values too
            if theirs is None:
                return False
            ours = getattr(getattr(layer, part), name).weight
            wide = width is not None and name in _ATTENTION[:3]
            pairs.append((ours[:, -width:] if wide and width else ours, theirs.weight))
    for name in ("input_layernorm", "post_attention_layernorm", *_OUTER_NORMS):
        if getattr(layer, name, None) is not None:
            pairs.append((getattr(layer, name).weight, getattr(source, name).weight))
    if any(ours.shape != theirs.shape for ours, theirs in pairs):
        return False
    for ours, theirs in pairs:
        ours.copy_(theirs)
    if isinstance(layer, Gemma4Layer):
        layer.layer_scalar.copy_(source.layer_scalar)
    _copy_head_norms(layer.self_attn, source)
    return True


def _copy_head_norms(attention: DraftAttention, layer: Any) -> None:
    source = layer.self_attn
    for name in ("q", "k"):
        norm = getattr(attention, f"{name}_norm").weight
        theirs = getattr(source, f"{name}_norm", None)
        if theirs is not None:
            norm.copy_(theirs.weight)
            continue
        # A target without these norms: keep the size that its queries and keys have on average.
        weight = getattr(source, f"{name}_proj").weight.float()
        scaled = weight * layer.input_layernorm.weight.float()
        norm.fill_(float(scaled.square().sum(dim=1).mean().sqrt()))


def _copy_context(backbone: DraftBackbone, source: Any, generator: torch.Generator) -> None:
    """Let context features begin as what the copied layers were trained to read.

    That is the latest hidden state read, normed by the copied layer's own input norm.
    """
    _pass_latest(backbone.fc, generator)
    backbone.hidden_norm.weight.copy_(source.input_layernorm.weight)


def _copy_chain(backbone: ChainBackbone, source: Any, generator: torch.Generator) -> None:
    """Let a chain begin as the target's last layer on the latest hidden state read.

    The embedding beside it comes in by small random weights.
    """
    _pass_latest(backbone.fc, generator)
    if backbone.eh_proj is not None:
        _pass_latest(backbone.eh_proj, generator)
        _copy_layer(backbone, source)
    elif _copy_layer(backbone, source, backbone.norm.weight.numel()):
        backbone.hidden_norm.weight.copy_(source.input_layernorm.weight)


def _pass_latest(linear: nn.Linear, generator: torch.Generator) -> None:
    """Let a projection pass its last inputs on as they are, and the others a little."""
    width = linear.out_features
    nn.init.normal_(linear.weight, std=_FC_STD, generator=generator)
    linear.weight[:, -width:] += torch.eye(width)


def _begin_head(head: MarkovHead, model: DraftModel, embed: Tensor) -> None:
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
