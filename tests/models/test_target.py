"""Loading targets: their shape, and what is said about files and models that cannot be used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from agentspark.errors import ConfigError, ModelFormatError, UnsupportedModelError
from agentspark.models import load_target
from agentspark.models.layers import AttentionLayer


@pytest.fixture
def folder(tiny_target_dir: Path, tmp_path: Path) -> Path:
    """A copy of the tiny target that a test may damage."""
    return Path(shutil.copytree(tiny_target_dir, tmp_path / "copy"))


def change_config(folder: Path, **changes: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_a_target_is_ready_to_run(tiny_target_dir: Path) -> None:
    target = load_target(tiny_target_dir)
    spec = target.spec
    assert (spec.num_layers, spec.num_heads) == (3, 4)
    assert spec.attention == (AttentionLayer(2, 16),) * 3
    assert (spec.hidden_size, spec.vocab_size, spec.max_context) == (64, 512, 2048)
    assert spec.eos_token_ids == {2}
    assert (spec.dtype, spec.device) == (torch.bfloat16, torch.device("cpu"))
    assert target.name == tiny_target_dir.name and target.folder == tiny_target_dir
    assert not target.model.training
    assert not any(weight.requires_grad for weight in target.model.parameters())


def test_dtype_and_attention_are_the_callers(tiny_qwen3_dir: Path) -> None:
    target = load_target(tiny_qwen3_dir, dtype=torch.float32, attn_implementation="eager")
    assert target.spec.dtype == torch.float32 == next(target.model.parameters()).dtype
    assert target.model.config._attn_implementation == "eager"


def test_end_tokens_are_the_union_of_what_the_files_say(folder: Path) -> None:
    file = folder / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "eos_token_id": [0, 7]}))
    assert load_target(folder).spec.eos_token_ids == {0, 2, 7}


@pytest.mark.parametrize("device", ["gpu9", "cuda:77"])
def test_a_device_that_is_not_there_is_refused(tiny_target_dir: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=device):
        load_target(tiny_target_dir, device=device)


@pytest.mark.parametrize("keep", [0, 5, 300, -2])
def test_truncated_weights_are_refused(folder: Path, keep: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ModelFormatError, match=r"model\.safetensors"):
        load_target(folder)


@pytest.mark.parametrize("content", [b"\x00" * 4, b"junk" * 100, b"\x02" + b"\x00" * 7 + b"{}"])
def test_files_that_hold_no_weights_are_refused(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelFormatError, match=r"model\.safetensors .* Get it again"):
        load_target(folder)


def test_weights_with_more_behind_them_are_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes() + b"more")
    with pytest.raises(ModelFormatError, match=r"truncated or broken"):
        load_target(folder)


def test_weights_that_are_missing_are_never_made_up(folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(ModelFormatError, match=r"1 weights .*layers\.1\.mlp\.up_proj"):
        load_target(folder)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    change_config(folder, intermediate_size=96)
    with pytest.raises(ModelFormatError, match="cannot be read"):
        load_target(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"hidden_size": 64}'])
def test_a_broken_config_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelFormatError, match=r"config\.json"):
        load_target(folder)


@pytest.mark.parametrize("text", [None, "{}", "not json"])
def test_a_broken_tokenizer_is_refused(folder: Path, text: str | None) -> None:
    file = folder / "tokenizer.json"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(ModelFormatError, match="tokenizer"):
        load_target(folder)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "no-such-thing"}, "does not know"),
        (
            {"model_type": "own", "auto_map": {"AutoConfig": "code.Own"}},
            "code that comes with a model",
        ),
        ({"model_type": "t5"}, "encoder-decoder"),
        ({"model_type": "mamba"}, "no num_attention_heads"),
        ({"model_type": "gemma3"}, "multimodal"),
        ({"model_type": "clip_vision_model"}, "not a causal language model"),
        ({"model_type": "deepseek_v3"}, "MLA"),
        ({"model_type": "deepseek_v4"}, "cannot be run"),
        ({"model_type": "gemma2"}, "capped attention"),
        ({"model_type": "bloom"}, "cannot be run"),
        ({"model_type": "qwen3_next"}, "layers of another kind"),
        ({"model_type": "gpt_oss"}, "cannot be run"),
    ],
)
def test_models_the_engine_cannot_run_are_refused(
    folder: Path, changes: dict[str, object], said: str
) -> None:
    if changes["model_type"] not in ("no-such-thing", "own"):
        (folder / "config.json").write_text("{}")
    change_config(folder, **changes)
    with pytest.raises(UnsupportedModelError, match=said):
        load_target(folder)


def test_of_a_multimodal_gemma4_the_language_model_is_loaded(
    tiny_gemma4_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers import (
        AutoTokenizer,
        Gemma4Config,
        Gemma4ForConditionalGeneration,
        Gemma4VisionConfig,
    )

    alone = load_target(tiny_gemma4_dir)
    seen = Gemma4VisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, head_dim=16,
    )  # fmt: skip
    names = ("image", "video", "audio", "boi", "eoi", "boa")
    ids = {f"{name}_token_id": 500 + number for number, name in enumerate(names)}
    config = Gemma4Config(
        text_config=alone.model.config, vision_config=seen, eoa_token_index=510, **ids
    )
    whole = Gemma4ForConditionalGeneration(config).to(torch.bfloat16)
    whole.model.language_model.load_state_dict(alone.model.model.state_dict())
    whole.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_gemma4_dir).save_pretrained(tmp_path)
    capfd.readouterr()
    target = load_target(tmp_path)
    assert capfd.readouterr().err == ""
    assert target.spec.attention == alone.spec.attention
    ids = torch.tensor([[5, 6, 7, 200]])
    assert torch.equal(target.model(ids).logits, alone.model(ids).logits)


@pytest.mark.real
def test_the_default_target(smollm2_dir: Path) -> None:
    target = load_target("smollm2")
    assert target.folder == smollm2_dir
    assert target.name == "smollm2"
    spec = target.spec
    assert (spec.num_layers, spec.num_heads) == (30, 9)
    assert spec.attention == (AttentionLayer(3, 64),) * 30
    assert (spec.vocab_size, spec.max_context, spec.eos_token_ids) == (49152, 8192, {2})
    assert {weight.dtype for weight in target.model.parameters()} == {torch.bfloat16}
    prompt = target.tokenizer.encode_chat(
        [{"role": "user", "content": "What is the capital of France? One word."}]
    )
    with torch.inference_mode():
        out = target.model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False)
    assert "Paris" in target.tokenizer.decode(out[0, len(prompt) :].tolist())
