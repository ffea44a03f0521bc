"""Gemma 4's style of draft layers against transformers' own layers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Gemma4TextConfig
from transformers.models.gemma4.modeling_gemma4 import (
    Gemma4TextDecoderLayer,
    Gemma4TextRotaryEmbedding,
)

from agentspark.dspark.backbone import plain_attend
from agentspark.dspark.checkpoint import drafter_tensors, load_drafter, save_drafter
from tests.dspark.small import VOCAB, gemma4, small_config, small_drafter


def reference(config) -> Gemma4TextConfig:
    return Gemma4TextConfig(
        vocab_size=VOCAB,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=1,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        num_global_key_value_heads=config.num_key_value_heads,
        global_head_dim=config.head_dim,
        attention_k_eq_v=config.attention_k_eq_v,
        layer_types=["full_attention"],
        hidden_size_per_layer_input=0,
        rope_parameters={"full_attention": dict(config.rope_parameters)},
        attn_implementation="eager",
    )


@pytest.mark.parametrize("shared", [False, True])
@torch.no_grad()
def test_a_layer_is_transformers_own(shared):
    """Block tokens that see each other and nothing else: a layer without a mask."""
    config = gemma4(num_hidden_layers=1, attention_k_eq_v=shared)
    model = small_drafter(config)
    layer = model.backbone.draft_layers()[0]
    layer.layer_scalar.fill_(0.7)
    theirs = Gemma4TextDecoderLayer(reference(config), 0)
    theirs.load_state_dict(layer.state_dict())
    x, places = torch.randn(4, config.hidden_size), torch.arange(9, 13)
    cos, sin = Gemma4TextRotaryEmbedding(reference(config))(x, places[None], "full_attention")
    want = theirs(x[None], shared_kv_states={}, position_embeddings=(cos, sin))[0]
    none = [(torch.zeros(2, 0, 8), torch.zeros(2, 0, 8))]
    got = layer.forward_block(x, cos[0], sin[0], plain_attend(none))
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)
    whole = model.backbone.block_hidden(x, places, plain_attend(none))
    torch.testing.assert_close(whole, model.backbone.norm(got), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_context_goes_through_the_same_projections():
    """Features as context give the keys and values that they would give as tokens of a block."""
    model = small_drafter(gemma4(attention_k_eq_v=True))
    features, places = torch.randn(3, 32), torch.arange(3)
    cos, sin = model.backbone.rotary(places, features.dtype)
    for layer, (k, v) in zip(
        model.backbone.draft_layers(), model.backbone.context_kv(features, places), strict=True
    ):
        same = layer.self_attn.key_value(features, cos, sin)
        assert torch.equal(k, same[0]) and torch.equal(v, same[1])
        torch.testing.assert_close(v.square().mean(-1), torch.ones(2, 3), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_embeddings_are_scaled_and_logits_capped():
    model = small_drafter(gemma4(final_logit_softcapping=2.0))
    tokens = torch.tensor([4, 7])
    torch.testing.assert_close(model.token_inputs(tokens), model.embed[tokens] * 32**0.5)
    hidden = torch.randn(3, 32)
    raw = hidden @ model.lm_head.t()
    torch.testing.assert_close(model.base_logits(hidden), 2.0 * torch.tanh(raw / 2.0))
    plain = small_drafter(small_config())
    assert torch.equal(plain.token_inputs(tokens), plain.embed[tokens])
    assert torch.equal(plain.base_logits(hidden), hidden @ plain.lm_head.t())


@pytest.mark.parametrize("shared", [False, True])
def test_checkpoints_have_deepspecs_names_and_read_back(shared, tmp_path: Path):
    model = small_drafter(gemma4(attention_k_eq_v=shared))
    model.backbone.draft_layers()[1].layer_scalar.fill_(0.5)
    names = drafter_tensors(model).keys()
    for name in ("layer_scalar", "pre_feedforward_layernorm.weight", "self_attn.k_norm.weight"):
        assert f"layers.1.{name}" in names
    assert ("layers.0.self_attn.v_proj.weight" in names) is not shared
    assert not any("v_norm" in name for name in names)
    save_drafter(model, tmp_path, torch.float32)
    again = load_drafter(tmp_path, dtype=torch.float32)
    assert again.config == model.config
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
