"""Drafter configs: read as DeepSpec writes them, rejected with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentspark.dspark.config import parse_config, read_config
from agentspark.errors import DrafterFormatError
from tests.dspark.small import pruned, small_config


@pytest.mark.parametrize("config", [small_config(), pruned(), small_config(markov_head_type="rnn")])
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


def test_other_architectures_and_missing_fields_are_refused():
    raw = small_config().to_json()
    with pytest.raises(DrafterFormatError, match="Gemma4DSparkModel"):
        parse_config({**raw, "architectures": ["Gemma4DSparkModel"]})
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
