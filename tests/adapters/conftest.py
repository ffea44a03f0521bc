"""Engines on the tiny random target, and one of them served."""

from __future__ import annotations

import pytest

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine

from .serving import serving


@pytest.fixture(scope="session")
def make_engine(tiny_target_dir, tiny_drafter_dir, cost_cache):
    def make(**more) -> Engine:
        trace = more.pop("trace", None)
        config = EngineConfig(**{"kv_tokens": 8192, "cache_dir": cost_cache, **more})
        return Engine.load(tiny_target_dir, drafter=tiny_drafter_dir, config=config, trace=trace)

    return make


@pytest.fixture(scope="session")
def trace_file(tmp_path_factory):
    return tmp_path_factory.mktemp("trace") / "trace.jsonl"


@pytest.fixture(scope="session")
def served(make_engine, trace_file):
    with serving(make_engine(trace=trace_file)) as running:
        yield running
