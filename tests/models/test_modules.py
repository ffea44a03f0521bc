"""What is read of a target's modules, and what is said where it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import LlamaForCausalLM

from agentspark.errors import UnsupportedModelError
from agentspark.models.feature_hooks import FeatureHooks
from agentspark.models.modules import decoder_layers, logit_cap, target_matrices
from agentspark.models.target import Target, load_target


@pytest.fixture(scope="module")
def target(tiny_target_dir: Path) -> Target:
    return load_target(tiny_target_dir, dtype=torch.float32)


def test_matrices_and_layers_are_the_models_own(target: Target) -> None:
    embed, lm_head = target_matrices(target.model)
    assert embed is target.model.model.embed_tokens.weight
    assert lm_head is target.model.lm_head.weight
    assert decoder_layers(target.model) is target.model.model.layers


@pytest.mark.parametrize("head", [None, nn.Identity()])
def test_a_target_without_a_plain_head_is_refused(
    target: Target, monkeypatch: pytest.MonkeyPatch, head: nn.Module | None
) -> None:
    monkeypatch.setattr(LlamaForCausalLM, "get_output_embeddings", lambda _: head)
    with pytest.raises(UnsupportedModelError, match=r"no plain LM head .* Choose .*Qwen3"):
        target_matrices(target.model)


def test_a_target_without_a_plain_embedding_is_refused(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LlamaForCausalLM, "get_input_embeddings", lambda _: nn.Identity())
    with pytest.raises(UnsupportedModelError, match=r"no plain embedding .* Choose"):
        target_matrices(target.model)


def test_a_target_whose_layers_lie_elsewhere_is_refused_by_its_name(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LlamaForCausalLM, "get_decoder", lambda _: nn.Identity())
    with pytest.raises(UnsupportedModelError, match=r"Llama.* layers are not found\. Choose"):
        decoder_layers(target.model)
    with pytest.raises(UnsupportedModelError, match=r"^mine cannot be run"):
        decoder_layers(target.model, "mine")


def test_the_cap_is_what_the_config_says(target: Target, tiny_gemma4_dir: Path) -> None:
    assert logit_cap(target.model) is None
    assert logit_cap(load_target(tiny_gemma4_dir).model) == 3.0


@torch.no_grad()
def test_hooks_keep_the_latest_states_until_they_are_removed(target: Target) -> None:
    with FeatureHooks(target.model, (-1, 0)) as hooks:
        target.model(torch.tensor([[1, 2]]))
        out = target.model(torch.tensor([[1, 40, 7]]), output_hidden_states=True)
    target.model(torch.tensor([[5]]))
    for state, wanted in zip(hooks.states(), out.hidden_states[:2], strict=True):
        assert torch.equal(state, wanted)
