"""Models of other kinds than the tests' own: run as transformers runs them, or refused at load."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, LlamaForCausalLM

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.engine.request import Request
from agentspark.errors import ContextLengthError, UnsupportedModelError
from agentspark.sampling.params import SamplingParams
from tests.conftest import tiny_tokenizer

from .test_equivalence import prompt

SHAPE = {
    "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024,
    "initializer_range": 0.2, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
}  # fmt: skip
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 128,
    "short_factor": [1.0] * 8, "long_factor": [1.0 + 2.0 * i for i in range(8)],
}  # fmt: skip


def save(kind: str, folder: Path, **more: object) -> Path:
    torch.manual_seed(7)
    config = CONFIG_MAPPING[kind](**SHAPE, **more)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def load(folder: Path, cache: Path, *, exact: bool = True) -> Engine:
    config = EngineConfig(cache_dir=cache, kv_tokens=2048, dtype="float32", exact=exact)
    return Engine.load(folder, drafter=None, config=config)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("doge", "mask or bias of its own"),
        ("diffllama", "attends twice"),
        ("nemotron", "does not tell its attention"),
    ],
)
@pytest.mark.parametrize("exact", [True, False])
def test_attention_that_would_be_computed_wrongly_is_refused_at_load(
    tmp_path: Path, cost_cache: Path, kind: str, said: str, exact: bool
) -> None:
    folder = save(kind, tmp_path / kind)
    with pytest.raises(UnsupportedModelError, match=said):
        load(folder, cost_cache, exact=exact)


def test_positions_scaled_by_length_are_used_up_to_where_that_begins(
    tmp_path: Path, cost_cache: Path
) -> None:
    long = {"original_max_position_embeddings": 128, "rope_parameters": LONGROPE}
    folder = save("phi3", tmp_path / "phi3", **long)
    sampling = SamplingParams(max_tokens=16, logprobs=0, ignore_eos=True)
    options = RequestOptions(speculation="off", share_prefix=False)
    with load(folder, cost_cache) as engine:
        assert engine.max_context == 128
        with pytest.raises(ContextLengthError):
            engine.generate(prompt(200), sampling)
        alone = engine.generate(prompt(33), sampling, options=options)
        beside = SamplingParams(max_tokens=100, ignore_eos=True)
        other = engine.submit(Request(prompt_token_ids=prompt(90, 1), sampling=beside))
        done = engine.submit(
            Request(prompt_token_ids=prompt(33), sampling=sampling, options=options)
        ).result(60)
        assert other.result(60).finish_reason == "length"
    assert done.logprobs == alone.logprobs


def test_a_target_without_a_plain_head_is_refused_at_load(
    tiny_target_dir: Path, cost_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LlamaForCausalLM, "get_output_embeddings", lambda _: None)
    with pytest.raises(UnsupportedModelError, match=r"no plain LM head .* Choose"):
        load(tiny_target_dir, cost_cache)
