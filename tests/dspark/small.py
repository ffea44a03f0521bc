"""A small drafter and a made-up target's matrices, for the tests of this room and of training."""

from __future__ import annotations

import torch

from agentspark.dspark.config import DrafterConfig
from agentspark.dspark.model import DraftModel, DSparkModel, build_model

VOCAB = 60


def small_config(**more) -> DrafterConfig:
    values = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "vocab_size": VOCAB,
        "num_target_layers": 4,
        "target_layer_ids": (0, 2),
        "mask_token_id": 3,
        "block_size": 4,
        "markov_rank": 6,
        **more,
    }
    return DrafterConfig(**values)


def pruned(size: int = 20, **more) -> DrafterConfig:
    return small_config(draft_vocab_size=size, markov_w1_pruned=True, **more)


def gemma4(**more) -> DrafterConfig:
    rope = {"rope_type": "proportional", "partial_rotary_factor": 0.5, "rope_theta": 1e4}
    style = {"backbone": "gemma4", "hidden_act": "gelu_pytorch_tanh", "rope_parameters": rope}
    return small_config(**{**style, **more})


def small_drafter(config: DrafterConfig, seed: int = 0) -> DSparkModel:
    model = small_model(config, seed)
    assert isinstance(model, DSparkModel)
    return model


def small_model(config: DrafterConfig, seed: int = 0) -> DraftModel:
    generator = torch.Generator().manual_seed(seed)
    ids = None
    if config.draft_vocab_size is not None:
        ids = torch.randperm(config.vocab_size, generator=generator)[: config.draft_vocab_size]
    model = build_model(config, ids)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    embed = torch.randn(config.vocab_size, config.hidden_size, generator=generator)
    model.attach_target(embed, torch.randn(embed.shape, generator=generator))
    return model
