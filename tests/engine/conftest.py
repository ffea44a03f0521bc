"""Engines on tiny random targets, and a drafter for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine


@pytest.fixture(scope="module")
def tiny_engine(
    tiny_target_dir: Path, tiny_drafter_dir: Path, cost_cache: Path
) -> Iterator[Engine]:
    """A bf16 exact engine with the random drafter."""
    config = EngineConfig(kv_tokens=8192, cache_dir=cost_cache, prefill_chunk=64)
    with Engine.load(tiny_target_dir, drafter=tiny_drafter_dir, config=config) as engine:
        yield engine
