"""Engines on tiny random targets, and a drafter for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine


@pytest.fixture(scope="session")
def tiny_drafter_dir(tiny_target_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random drafter of the tiny target: its drafts are rarely right, its paths all run."""
    import torch

    from agentspark.dspark.check import target_fingerprint
    from agentspark.dspark.checkpoint import save_drafter
    from agentspark.dspark.config import DrafterConfig
    from agentspark.dspark.model import DSparkModel
    from agentspark.models import load_target

    target = load_target(tiny_target_dir)
    embed = target.model.get_input_embeddings().weight
    head = target.model.get_output_embeddings().weight
    torch.manual_seed(3)
    config = DrafterConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        vocab_size=512,
        num_target_layers=3,
        target_layer_ids=(-1, 0, 1),
        mask_token_id=0,
        block_size=5,
        markov_rank=8,
        draft_vocab_size=300,
        target_fingerprint=target_fingerprint(embed, head),
    )
    folder = tmp_path_factory.mktemp("tiny-drafter")
    save_drafter(DSparkModel(config, torch.arange(0, 300)), folder)
    return folder


@pytest.fixture(scope="session")
def cost_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the engines of the tests keep their cost tables."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def tiny_engine(
    tiny_target_dir: Path, tiny_drafter_dir: Path, cost_cache: Path
) -> Iterator[Engine]:
    """A bf16 exact engine with the random drafter."""
    config = EngineConfig(kv_tokens=8192, cache_dir=cost_cache, prefill_chunk=64)
    with Engine.load(tiny_target_dir, drafter=tiny_drafter_dir, config=config) as engine:
        yield engine
