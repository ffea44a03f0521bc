"""The number format that an engine computes in: as asked, or what the device is good at."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.precision import dtype_of
from agentspark.errors import ConfigError


@pytest.mark.parametrize(("native", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_a_cpu_computes_in_bfloat16_where_it_can(
    monkeypatch: pytest.MonkeyPatch, native: bool, dtype: str
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: native)
    assert dtype_of(EngineConfig(device="cpu")) == dtype
    assert dtype_of(EngineConfig(device="cpu", dtype="bfloat16")) == "bfloat16"
    assert dtype_of(EngineConfig(device="cpu", dtype="float32")) == "float32"
    assert dtype_of(EngineConfig(device="cuda")) == "bfloat16"


def test_without_kernels_of_its_own_a_cpu_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert dtype_of(EngineConfig(device="cpu")) == "float32"


def test_an_engine_says_what_it_computes_in(tiny_target_dir: Path, cost_cache: Path) -> None:
    config = EngineConfig(kv_tokens=1024, cache_dir=cost_cache)
    with Engine.load(tiny_target_dir, drafter=None, config=config) as engine:
        assert engine.dtype == dtype_of(config)
        assert engine.target.spec.dtype == getattr(torch, engine.dtype)
    with pytest.raises(ConfigError, match="float32 or None"):
        EngineConfig(dtype="float16")  # type: ignore[arg-type]
