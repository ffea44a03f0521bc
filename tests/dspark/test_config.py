"""Drafter configs: read as DeepSpec writes them, rejected with a reason."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from agentspark.dspark.config import parse_config, read_config
from agentspark.errors import DrafterFormatError
from tests.dspark.small import gemma4, pruned, small_config


@pytest.mark.parametrize(
    "config",
    [
        small_config(),
        pruned(),
        small_config(markov_head_type="rnn"),
        small_config(final_logit_softcapping=30.0),
        gemma4(),
        gemma4(attention_k_eq_v=True, final_logit_softcapping=30.0),
    ],
)
def test_written_config_reads_back_equal(config):
    assert parse_config(json.loads(json.dumps(config.to_json()))) == config


def test_deepspec_fields_are_written_under_their_names():
    written = small_config().to_json()
    assert written["architectures"] == ["Qwen3DSparkModel"]
    assert written["tie_word_embeddings"] is False
    assert written["target_layer_ids"] == [0, 2]
    for name in ("block_size", "mask_token_id", "num_target_layers", "markov_rank", "rope_theta"):
        assert name in written


def test_reads_a_config_without_our_fields_and_with_old_rope():
    raw = small_config().to_json()
    for name in ("draft_vocab_size", "markov_w1_pruned", "target_fingerprint", "rope_parameters"):
        del raw[name]
    raw["rope_theta"] = 1e6
    raw["rope_scaling"] = {"type": "linear", "factor": 2.0}
    config = parse_config(raw)
    assert config.draft_vocab_size is None
    assert config.rope_parameters == {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e6}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("target_layer_ids", [2, 0]),
        ("target_layer_ids", [0, 3]),
        ("target_layer_ids", []),
        ("mask_token_id", 60),
        ("markov_head_type", "tree"),
        ("num_key_value_heads", 3),
        ("hidden_act", "gelu"),
        ("attention_k_eq_v", True),
        ("final_logit_softcapping", 0.0),
        ("draft_vocab_size", 61),
        ("markov_w1_pruned", True),
        ("markov_rank", 0),
        ("block_size", 0),
        ("hidden_size", "wide"),
    ],
)
def test_impossible_values_are_named(field, value):
    raw = {**small_config().to_json(), field: value}
    with pytest.raises(DrafterFormatError):
        parse_config(raw)


NONE = {"markov_rank": 0, "enable_confidence_head": False, "confidence_head_with_markov": False}
CHAIN = {"num_hidden_layers": 1, **NONE}


@pytest.mark.parametrize(
    ("family", "more"),
    [
        ("dflash", {"sample_from_anchor": False, **NONE}),
        ("dflash", NONE),
        ("eagle3", CHAIN),
        ("mtp", {"block_size": 1, **CHAIN}),
    ],
)
def test_families_are_told_by_their_architecture(family, more):
    config = small_config(family=family, **more)
    raw = json.loads(json.dumps(config.to_json()))
    assert "family" not in raw
    assert parse_config(raw) == config
    assert config.slots == config.block_size + (more.get("sample_from_anchor") is False)


@pytest.mark.parametrize(
    ("family", "more", "field"),
    [
        ("dflash", {}, "markov_rank"),
        ("dspark", {"sample_from_anchor": False}, "sample_from_anchor"),
        ("eagle3", NONE, "num_hidden_layers"),
        ("eagle3", {**CHAIN, "hidden_size": 33}, "hidden_size"),
        ("mtp", CHAIN, "block_size"),
    ],
)
def test_what_a_family_cannot_have_is_named(family, more, field):
    with pytest.raises(DrafterFormatError, match=field):
        small_config(family=family, **more)


def test_dflash_files_of_its_authors_are_read():
    raw = small_config().to_json()
    ours = ("markov_rank", "enable_confidence_head", "confidence_head_with_markov")
    for name in ("target_layer_ids", "mask_token_id", "markov_w1_pruned", *ours):
        del raw[name]
    raw["architectures"] = ["DFlashDraftModel"]
    raw["block_size"] = 16
    raw["dflash_config"] = {"target_layer_ids": [0, 2], "mask_token_id": 3}
    config = parse_config(raw)
    assert (config.family, config.block_size, config.slots) == ("dflash", 15, 16)
    assert config.target_layer_ids == (0, 2)
    with pytest.raises(DrafterFormatError, match="layer_types"):
        parse_config({**raw, "layer_types": ["full_attention", "sliding_attention"]})


@pytest.mark.parametrize("field", sorted(small_config().to_json()))
@pytest.mark.parametrize("value", [5, "x", [None], {"rope_theta": "x"}])
def test_fields_of_wrong_types_end_in_no_other_error(field, value):
    with suppress(DrafterFormatError):
        parse_config({**small_config().to_json(), field: value})


def test_an_old_field_that_is_null_is_not_read_where_the_new_one_is_there():
    raw = small_config().to_json()
    assert parse_config({**raw, "rope_theta": None}) == parse_config(raw)


def test_other_architectures_and_missing_fields_are_refused():
    raw = small_config().to_json()
    with pytest.raises(DrafterFormatError, match="LlamaDSparkModel"):
        parse_config({**raw, "architectures": ["LlamaDSparkModel"]})
    del raw["intermediate_size"]
    with pytest.raises(DrafterFormatError, match="intermediate_size"):
        parse_config(raw)


def test_files_that_are_no_config_are_refused(tmp_path: Path):
    with pytest.raises(DrafterFormatError, match=r"config\.json"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DrafterFormatError, match="not JSON"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(DrafterFormatError, match="object"):
        read_config(tmp_path)


def test_a_gemma4_drafter_is_written_as_a_gemma4_text_config():
    written = gemma4(attention_k_eq_v=True).to_json()
    assert written["architectures"] == ["Gemma4DSparkModel"]
    assert written["model_type"] == "gemma4_text"
    assert written["hidden_activation"] == "gelu_pytorch_tanh"
    assert (written["global_head_dim"], written["num_global_key_value_heads"]) == (8, 2)
    assert written["rope_parameters"]["full_attention"]["rope_type"] == "proportional"
    assert "backbone" not in written


def test_gemma4_files_of_deepspec_are_read():
    """Sizes of sliding layers, which a drafter has none of, stand beside those that count."""
    raw = gemma4(attention_k_eq_v=True).to_json()
    raw |= {"head_dim": 4, "num_key_value_heads": 4}
    raw["rope_parameters"]["sliding_attention"] = {"rope_type": "default", "rope_theta": 1e4}
    assert parse_config(raw) == gemma4(attention_k_eq_v=True)
    # Keys that are not values too have as many heads as sliding layers have.
    assert parse_config({**raw, "attention_k_eq_v": False}).num_key_value_heads == 4
    for field, value in (("enable_moe_block", True), ("hidden_size_per_layer_input", 16)):
        with pytest.raises(DrafterFormatError, match=field):
            parse_config({**raw, field: value})
    with pytest.raises(DrafterFormatError, match="backbone"):
        small_config(family="dflash", backbone="gemma4", **NONE)
