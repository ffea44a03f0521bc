"""The engine on a CUDA device: the same promises as on the CPU, but for the bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.engine.request import Request
from agentspark.sampling.params import SamplingParams

pytestmark = pytest.mark.gpu

NEW = SamplingParams(max_tokens=32, ignore_eos=True)
PLAIN = RequestOptions(speculation="off", share_prefix=False)


@pytest.fixture(scope="module")
def engine(tiny_target_dir: Path) -> Iterator[Engine]:
    config = EngineConfig(device="cuda", dtype="float32", kv_tokens=8192)
    with Engine.load(tiny_target_dir, drafter=None, config=config) as loaded:
        yield loaded


def prompt(length: int, seed: int) -> list[int]:
    return [3 + (7 * i * i + seed * i) % 500 for i in range(length)]


def test_the_default_pool_is_sized_from_free_memory(tiny_target_dir: Path) -> None:
    config = EngineConfig(device="cuda", kv_tokens=None)
    with Engine.load(tiny_target_dir, drafter=None, config=config) as engine:
        assert engine.stats().kv_bytes_total > 1 << 30


def test_the_cpu_and_cuda_say_the_same(engine: Engine, tiny_target_dir: Path) -> None:
    config = EngineConfig(device="cpu", dtype="float32", kv_tokens=4096)
    with Engine.load(tiny_target_dir, drafter=None, config=config) as cpu:
        expected = cpu.generate(prompt(70, 1), NEW, options=PLAIN).token_ids
    assert engine.generate(prompt(70, 1), NEW, options=PLAIN).token_ids == expected


def test_speculative_cached_and_batched_equal_plain(engine: Engine) -> None:
    prompts = [prompt(60 + 9 * i, i) for i in range(6)]
    expected = [engine.generate(ids, NEW, options=PLAIN).token_ids for ids in prompts]
    for _ in range(2):
        handles = [engine.submit(Request(prompt_token_ids=ids, sampling=NEW)) for ids in prompts]
        assert [handle.result(120).token_ids for handle in handles] == expected
