"""Checkpoints: DeepSpec's names, read back equal, and refused when broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from agentspark.dspark import checkpoint
from agentspark.dspark.checkpoint import load_drafter, save_drafter
from agentspark.errors import DrafterFormatError
from tests.dspark.small import pruned, small_config, small_drafter

LAYER = (
    *(f"self_attn.{n}_proj.weight" for n in "qkvo"),
    *(f"self_attn.{n}_norm.weight" for n in "qk"),
    *(f"mlp.{n}_proj.weight" for n in ("gate", "up", "down")),
    "input_layernorm.weight",
    "post_attention_layernorm.weight",
)


def deepspec_names(layers: int) -> set[str]:
    return {
        *("fc.weight", "hidden_norm.weight", "norm.weight"),
        *(f"layers.{i}.{name}" for i in range(layers) for name in LAYER),
        *("markov_head.markov_w1.weight", "markov_head.markov_w2.weight"),
        *("confidence_head.proj.weight", "confidence_head.proj.bias"),
    }


def test_tensors_have_deepspecs_names_and_shapes(tmp_path: Path):
    save_drafter(small_drafter(small_config()), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    assert set(tensors) == deepspec_names(2)
    assert tensors["fc.weight"].shape == (32, 64)
    assert tensors["markov_head.markov_w1.weight"].shape == (60, 6)
    assert tensors["markov_head.markov_w2.weight"].shape == (60, 6)
    assert {t.dtype for t in tensors.values()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("kind", "more"),
    [("gated", {"gate_proj"}), ("rnn", {"joint_proj"})],
)
def test_other_heads_add_their_projection(tmp_path: Path, kind, more):
    save_drafter(small_drafter(pruned(markov_head_type=kind)), tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    added = {f"markov_head.{n}.{part}" for n in more for part in ("weight", "bias")}
    assert set(tensors) == deepspec_names(2) | added | {"draft_token_ids"}
    assert tensors["markov_head.markov_w1.weight"].shape == (21, 6)
    assert tensors["markov_head.markov_w2.weight"].shape == (20, 6)


@pytest.mark.parametrize("make", [small_config, pruned])
def test_reads_back_equal(tmp_path: Path, make):
    model = small_drafter(make())
    save_drafter(model, tmp_path, torch.float32)
    again = load_drafter(tmp_path, dtype=torch.float32)
    assert again.config == model.config
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    if model.draft_token_ids is not None:
        assert torch.equal(again.draft_token_ids, model.draft_token_ids)
        assert torch.equal(again.markov_head.rows, model.markov_head.rows)
    assert not any(p.requires_grad for p in again.parameters())


def test_the_targets_matrices_in_a_file_are_ignored(tmp_path: Path):
    model = small_drafter(small_config())
    save_drafter(model, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["embed_tokens.weight"] = torch.zeros(60, 32)
    tensors["lm_head.weight"] = torch.zeros(60, 32)
    save_file(tensors, tmp_path / "model.safetensors")
    assert load_drafter(tmp_path).embed is None


def test_broken_checkpoints_are_refused(tmp_path: Path):
    save_drafter(small_drafter(pruned()), tmp_path)
    path = tmp_path / "model.safetensors"
    good, tensors = path.read_bytes(), load_file(path)

    def refused(match: str, changed: dict[str, torch.Tensor]) -> None:
        save_file(changed, path)
        with pytest.raises(DrafterFormatError, match=match):
            load_drafter(tmp_path)

    refused("lacks tensors", {n: t for n, t in tensors.items() if n != "fc.weight"})
    refused("unknown", {**tensors, "extra.weight": torch.zeros(1)})
    refused("shape", {**tensors, "fc.weight": torch.zeros(3, 3)})
    refused("draft tokens", {n: t for n, t in tensors.items() if n != "draft_token_ids"})
    twice = tensors["draft_token_ids"].clone()
    twice[0] = twice[1]
    refused("repeated", {**tensors, "draft_token_ids": twice})
    path.write_bytes(good[: len(good) // 2])
    with pytest.raises(DrafterFormatError, match="cannot be read"):
        load_drafter(tmp_path)
    path.unlink()
    with pytest.raises(DrafterFormatError, match=r"no model\.safetensors"):
        load_drafter(tmp_path)


def test_a_failed_save_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch):
    save_drafter(small_drafter(small_config()), tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        save_drafter(small_drafter(small_config(), seed=1), tmp_path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_what_a_killed_save_left_goes_with_the_next(tmp_path: Path):
    left = tmp_path / ".writing-abcd"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    save_drafter(small_drafter(small_config()), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "model.safetensors"}


def test_weights_are_told_apart(tmp_path: Path):
    for number, seed in enumerate((0, 0, 1, 0, 0, 0)):
        save_drafter(small_drafter(small_config(), seed=seed), tmp_path / str(number))
    found = [checkpoint.weights_digest(tmp_path / str(n)) for n in range(6)]
    assert len(set(found)) == 2 and found[2] != found[0]
    with pytest.raises(DrafterFormatError, match=r"no model\.safetensors"):
        checkpoint.weights_digest(tmp_path)


def test_config_json_is_plain_json(tmp_path: Path):
    save_drafter(small_drafter(pruned()), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["draft_vocab_size"] == 20
