"""Where sequences lie: in one run where readers are faster so, with what is shared still shared."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.engine.request import Request
from agentspark.kv.blocks import BlockPool, block_runs
from agentspark.kv.store import KVStore, LayerShape
from agentspark.sampling.params import SamplingParams
from tests.engine.test_equivalence import PLAIN, prompt

GREEDY = SamplingParams(max_tokens=24, ignore_eos=True)


def test_a_copy_holds_what_its_blocks_held_in_every_layer_of_its_own() -> None:
    shape = LayerShape(2, 4)
    store = KVStore(
        16, 4, [shape, LayerShape(1, 8), 0], [shape], dtype=torch.float32,
        device=torch.device("cpu"),
    )  # fmt: skip
    assert store.target[2] is store.target[0]
    layers = [*store.target[:2], *store.drafter]
    for layer in layers:
        layer.k.normal_()
        layer.v.normal_()
    before = [layer.k.clone() for layer in layers]
    store.copy([7, 8, 2], 11)
    for layer, k in zip(layers, before, strict=True):
        assert torch.equal(layer.k[:, 44:52], k[:, 28:36])
        assert torch.equal(layer.k[:, 52:56], k[:, 8:12])
        assert torch.equal(layer.k[:, :44], k[:, :44]) and torch.equal(layer.k[:, 56:], k[:, 56:])
        assert torch.equal(layer.v[:, 44:52], layer.v[:, 28:36])


def test_the_pool_says_where_room_is() -> None:
    pool = BlockPool(32, 8)
    assert (pool.largest_run, pool.free_after(3)) == (32, 0)
    taken = pool.allocate(4)
    assert (pool.largest_run, pool.free_after(taken[-1])) == (28, 28)
    pool.allocate(28)
    assert (pool.largest_run, pool.free_after(taken[-1])) == (0, 0)


@pytest.mark.parametrize(
    ("tokens", "tail", "copied"), [(16384, 200, True), (16384, 20, False), (1024, 200, False)]
)
def test_a_short_prefix_is_copied_so_that_branches_lie_in_one_run(
    tiny_target_dir: Path, tiny_drafter_dir: Path, cost_cache: Path,
    tokens: int, tail: int, copied: bool,
) -> None:  # fmt: skip
    """Drafts and outputs are those of a cold start; a long prefix and a full pool: no copies."""
    config = EngineConfig(kv_tokens=tokens, cache_dir=cost_cache)
    shared, tails = prompt(150, 1), [prompt(tail + i, 10 + i) for i in range(4)]
    options = RequestOptions(verify="full", cache_salt="branches")
    runs: list[int] = []
    with Engine.load(tiny_target_dir, drafter=tiny_drafter_dir, config=config) as engine:
        engine.generate(shared, GREEDY, options=options)
        want = [engine.generate([*shared, *tail], GREEDY, options=PLAIN) for tail in tails]
        memory = engine._loop._turn.memory
        admit = memory.admit

        def watched(sequence):
            admit(sequence)
            runs.append(len(list(block_runs(sequence.blocks))))

        memory.admit = watched
        handles = [
            engine.submit(
                Request(prompt_token_ids=[*shared, *tail], sampling=GREEDY, options=options)
            )
            for tail in tails
        ]
        for handle, cold in zip(handles, want, strict=True):
            done = handle.result()
            assert done.token_ids == cold.token_ids
            assert done.counts.cached_tokens == 144
        stats = engine.stats()
        assert stats.used_blocks == stats.cached_blocks
        memory.cache.check_integrity({})
    assert (max(runs) == 1) is copied
