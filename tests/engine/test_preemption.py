"""Requests that lose their blocks to older ones and come back: the same tokens, nobody harmed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.engine.request import Request
from agentspark.engine.sequence import Sequence
from agentspark.engine.turn import Turn
from agentspark.errors import ConfigError
from agentspark.sampling.params import SamplingParams

from .test_equivalence import PLAIN, prompt

SAMPLING = SamplingParams(max_tokens=40, ignore_eos=True)


@pytest.mark.parametrize("speculation", ["suffix", "auto"])
def test_drafts_of_a_preempted_request_are_forgotten(
    tiny_engine: Engine,
    tiny_target_dir: Path,
    tiny_drafter_dir: Path,
    cost_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    speculation: str,
) -> None:
    prompts = [prompt(20, seed) for seed in range(12)]
    plain = [tiny_engine.generate(p, SAMPLING, options=PLAIN).token_ids for p in prompts]
    config = EngineConfig(cache_dir=cost_cache, kv_tokens=240, block_tokens=8)
    options = RequestOptions(speculation=speculation, verify="full")  # type: ignore[arg-type]
    with Engine.load(tiny_target_dir, drafter=tiny_drafter_dir, config=config) as engine:
        preempted, preempt = [], Turn._preempt

        def noted(turn: Turn, sequence: Sequence) -> None:
            preempted.append(len(sequence.proposal))
            preempt(turn, sequence)

        monkeypatch.setattr(Turn, "_preempt", noted)
        # Predictions that come true: there are drafts in every round.
        handles = [
            engine.submit(
                Request(prompt_token_ids=p, prediction=said, sampling=SAMPLING, options=options)
            )
            for p, said in zip(prompts, plain, strict=True)
        ]
        done = [handle.result(60) for handle in handles]
    assert [one.token_ids for one in done] == plain
    for counts in (one.counts for one in done):
        # A token that comes out of a repeated prefill is one of a round too.
        assert counts.completion_tokens - 1 - counts.rounds - counts.accepted_tokens in (0, -1)
        assert sum(counts.accepted_histogram) == counts.rounds
    assert any(preempted), "no request lost its blocks while it had drafts"


def test_a_pool_that_a_block_of_drafts_fits_into_is_enough(
    tiny_engine: Engine,
    tiny_target_dir: Path,
    tiny_drafter_dir: Path,
    cost_cache: Path,
    tmp_path: Path,
) -> None:
    config = EngineConfig(cache_dir=cost_cache, kv_tokens=16, block_tokens=8)
    sampling = SamplingParams(max_tokens=6, ignore_eos=True)
    with Engine.load(tiny_target_dir, drafter=tiny_drafter_dir, config=config) as engine:
        done = engine.generate(prompt(6), sampling)
    assert done.token_ids == tiny_engine.generate(prompt(6), sampling, options=PLAIN).token_ids
    longer = tmp_path / "longer"
    shutil.copytree(tiny_drafter_dir, longer)
    shape = json.loads((longer / "config.json").read_text())
    (longer / "config.json").write_text(json.dumps({**shape, "block_size": 9}))
    with pytest.raises(ConfigError, match="too few for a drafter's block of 9"):
        Engine.load(tiny_target_dir, drafter=longer, config=config)
