"""What a closed engine still takes of the memory: nothing, whoever holds the engine."""

from __future__ import annotations

import weakref
from pathlib import Path

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.sampling.params import SamplingParams


def test_closing_frees_weights_keys_and_values(
    tiny_target_dir: Path, tiny_drafter_dir: Path, cost_cache: Path
) -> None:
    config = EngineConfig(kv_tokens=512, cache_dir=cost_cache)
    engine = Engine.load(tiny_target_dir, drafter=tiny_drafter_dir, config=config)
    engine.generate(list(range(5, 40)), SamplingParams(max_tokens=8, ignore_eos=True))
    parts = engine._parts
    layers = [*parts.store.target, *parts.store.drafter]
    tensors = [
        *parts.target.model.parameters(),
        *parts.target.model.buffers(),
        *parts.drafter._model.parameters(),
        *parts.drafter._model.buffers(),
        *(tensor for layer in layers for tensor in (layer.k, layer.v)),
    ]
    held = [weakref.ref(tensor) for tensor in tensors]
    assert len(held) > 30
    del tensors, layers
    engine.close()
    engine.close()
    assert [reference() for reference in held if reference() is not None] == []
    assert engine.stats().kv_bytes_total > 0
    assert engine.target.tokenizer.encode("the cache")
