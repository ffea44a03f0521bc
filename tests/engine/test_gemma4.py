"""Gemma 4: layers of two shapes, a window, shared keys and values; the same tokens all the same."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.kv import attention
from agentspark.models.layers import AttentionLayer
from agentspark.models.target import load_target
from agentspark.sampling.params import SamplingParams

PLAIN = RequestOptions(speculation="off", share_prefix=False)
GREEDY = SamplingParams(max_tokens=40, ignore_eos=True)
SIZES = ("tiny_gemma4_dir", "tiny_gemma4_small_dir")


@pytest.fixture(params=SIZES)
def folder(request: pytest.FixtureRequest) -> Path:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Path)
    return found


def prompt(length: int, seed: int) -> list[int]:
    """Random tokens of which a part comes twice, so that copies are proposed."""
    rng = random.Random(seed)
    tokens = [rng.randrange(3, 512) for _ in range(length - 20)]
    return [*tokens, *tokens[:20]]


def test_layers_say_what_they_keep(tiny_gemma4_dir: Path, tiny_gemma4_small_dir: Path) -> None:
    narrow, wide = AttentionLayer(2, 16), AttentionLayer(1, 32)
    assert load_target(tiny_gemma4_dir).spec.attention == (narrow, wide) * 2
    own = (AttentionLayer(2, 16), AttentionLayer(2, 32)) * 2
    shared = (AttentionLayer(2, 16, donor=2), AttentionLayer(2, 32, donor=3))
    assert load_target(tiny_gemma4_small_dir).spec.attention == (*own, *shared)


def test_logits_are_those_of_transformers(folder: Path, cost_cache: Path) -> None:
    """Beyond the window, in chunks, over a prefix another request left: in float32 to a hair."""
    tokens = prompt(90, 1)
    reference = load_target(folder, dtype=torch.float32)
    assert reference.model.config._attn_implementation != attention.NAME
    config = EngineConfig(
        dtype="float32", kv_tokens=4096, cache_dir=cost_cache, prefill_chunk=32, exact=False
    )
    with Engine.load(folder, drafter=None, config=config) as engine, torch.no_grad():
        sampling = SamplingParams(max_tokens=12, ignore_eos=True, logprobs=3)
        first = engine.generate(tokens, sampling)
        again = engine.generate([*tokens, *first.token_ids[:5]], sampling)
    assert again.counts.cached_tokens > 60
    for done in (first, again):
        ids = torch.tensor([[*done.prompt_token_ids, *done.token_ids]])
        logits = reference.model(ids).logits[0].float().log_softmax(-1)
        start = len(done.prompt_token_ids) - 1
        assert done.logprobs is not None
        for row, (token, told) in enumerate(zip(done.token_ids, done.logprobs, strict=True)):
            assert told.logprob == pytest.approx(float(logits[start + row, token]), abs=2e-4)


def test_speculative_equals_plain(folder: Path, cost_cache: Path) -> None:
    config = EngineConfig(kv_tokens=8192, cache_dir=cost_cache, prefill_chunk=64)
    verified = 0
    with Engine.load(folder, drafter=None, config=config) as engine:
        for seed, length in ((1, 40), (2, 130), (3, 260)):
            tokens = prompt(length, seed)
            want = engine.generate(tokens, GREEDY, options=PLAIN)
            for _ in range(2):
                options = RequestOptions(verify="full")
                sped = engine.generate(tokens, GREEDY, options=options)
                assert sped.token_ids == want.token_ids
                verified += sped.counts.verified_tokens
    assert verified > 0
