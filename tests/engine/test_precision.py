"""The number format that an engine computes in: as asked, or what the device is good at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from agentspark.config import Dtype, EngineConfig
from agentspark.engine import precision
from agentspark.engine.engine import Engine
from agentspark.engine.precision import DTYPES, dtype_of
from agentspark.errors import ConfigError
from agentspark.models.half import fewest_half_rows, half_rows
from agentspark.sampling.params import SamplingParams

# What it has, as torch's questions name it.
PROCESSORS = {
    "AVX2": {"avx2"},
    "AVX-512": {"avx512", "mkldnn_bf16"},
    "AVX-512 with bfloat16": {"avx512", "avx512_bf16", "mkldnn_bf16"},
    "AMX": {"avx512", "amx_tile", "mkldnn_bf16"},
    "ARM with bfloat16": {"mkldnn_bf16"},
    "ARM": set(),
}


@pytest.mark.parametrize(
    ("processor", "half", "dtype"),
    [
        ("AVX2", 6, "float16"),
        ("AVX-512", 1, "float16"),
        ("AVX-512 with bfloat16", 1, "bfloat16"),
        ("AMX", 1, "bfloat16"),
        ("ARM with bfloat16", None, "bfloat16"),
        ("ARM", None, "float32"),
    ],
)
def test_a_cpu_computes_in_what_it_is_good_at(
    monkeypatch: pytest.MonkeyPatch, processor: str, half: int | None, dtype: str
) -> None:
    has = PROCESSORS[processor]
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    for what, where in (
        ("mkldnn_bf16", torch.ops.mkldnn),
        ("avx512", torch.cpu),
        ("avx512_bf16", torch.cpu),
        ("amx_tile", torch.cpu),
    ):
        monkeypatch.setattr(where, f"_is_{what}_supported", lambda what=what: what in has)
    monkeypatch.setattr(precision, "half_rows", lambda: half)
    assert dtype_of(EngineConfig(device="cpu")) == dtype
    assert dtype_of(EngineConfig(device="cpu", dtype="bfloat16")) == "bfloat16"
    assert dtype_of(EngineConfig(device="cpu", dtype="float32")) == "float32"
    assert dtype_of(EngineConfig(device="cuda")) == "bfloat16"


def test_without_kernels_of_its_own_a_cpu_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.setattr(precision, "half_rows", lambda: None)
    assert dtype_of(EngineConfig(device="cpu")) == "float32"


@pytest.mark.parametrize(("device", "half"), [("cpu", None), ("cuda", 6)])
def test_weights_in_float16_are_for_processors_that_have_the_kernels(
    monkeypatch: pytest.MonkeyPatch, device: str, half: int | None
) -> None:
    monkeypatch.setattr(precision, "half_rows", lambda: half)
    with pytest.raises(ConfigError, match="use bfloat16 or float32"):
        dtype_of(EngineConfig(device=device, dtype="float16"))


@pytest.mark.skipif(half_rows() is None, reason="this processor has no kernels for float16 weights")
def test_weights_beyond_float16_are_not_squeezed_into_it(
    tmp_path: Path, tiny_target_dir: Path, cost_cache: Path
) -> None:
    shutil.copytree(tiny_target_dir, tmp_path / "wide")
    file = tmp_path / "wide" / "model.safetensors"
    weights = load_file(file)
    name = next(name for name in weights if name.endswith("down_proj.weight"))
    weights[name][0, 0] = 1e5
    save_file(weights, file, {"format": "pt"})
    config = EngineConfig(dtype="float16", kv_tokens=1024, cache_dir=cost_cache)
    with pytest.raises(ConfigError, match="beyond float16's range"):
        Engine.load(tmp_path / "wide", drafter=None, config=config)


@pytest.mark.skipif(half_rows() is None, reason="this processor has no kernels for float16 weights")
def test_weights_of_16_bits_lose_nothing_in_float16(
    tiny_target_dir: Path, tiny_drafter_dir: Path, cost_cache: Path
) -> None:
    """A checkpoint in bfloat16 gives what it gives in float32, drafts included."""
    answers = []
    for dtype in ("float16", "float32"):
        config = EngineConfig(dtype=dtype, kv_tokens=1024, cache_dir=cost_cache)
        with Engine.load(tiny_target_dir, drafter=tiny_drafter_dir, config=config) as engine:
            assert engine.dtype == dtype
            assert engine.target.spec.dtype == engine.target.model.dtype == torch.float32
            assert engine.exact
            prompts = [[5, 9, 2, 7, 7, 1], list(range(40, 90))]
            sampling = SamplingParams(temperature=0, max_tokens=40, ignore_eos=True)
            answers.append([engine.generate(prompt, sampling).token_ids for prompt in prompts])
    assert answers[0] == answers[1]


@pytest.mark.skipif(half_rows() is None, reason="this processor has no kernels for float16 weights")
@pytest.mark.parametrize("exact", [True, False])
def test_forwards_have_no_more_rows_than_exact_bits_need(
    tiny_target_dir: Path, cost_cache: Path, exact: bool
) -> None:
    config = EngineConfig(dtype="float16", kv_tokens=1024, cache_dir=cost_cache, exact=exact)
    with Engine.load(tiny_target_dir, drafter=None, config=config) as engine:
        step, fewest = half_rows() or 0, fewest_half_rows() if exact else 1
        wanted = (*range(fewest, step), step, 2 * step)
        assert engine._parts.turn.runner.buckets(2 * step) == wanted
        assert engine.exact == exact


def test_an_engine_says_what_it_computes_in(tiny_target_dir: Path, cost_cache: Path) -> None:
    config = EngineConfig(kv_tokens=1024, cache_dir=cost_cache)
    with Engine.load(tiny_target_dir, drafter=None, config=config) as engine:
        assert engine.dtype == dtype_of(config)
        assert engine.target.spec.dtype == DTYPES[engine.dtype]
    with pytest.raises(ConfigError, match="float32 or None"):
        EngineConfig(dtype="float8")  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [None, "bfloat16", "float32"])
def test_a_device_that_is_not_known_is_told(tiny_target_dir: Path, dtype: Dtype | None) -> None:
    for device, problem in (("foo", "is unknown"), ("mps", "is not supported")):
        with pytest.raises(ConfigError, match=f"device='{device}' {problem}"):
            Engine.load(tiny_target_dir, config=EngineConfig(device=device, dtype=dtype))
