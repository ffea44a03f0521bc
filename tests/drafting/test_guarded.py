"""A drafter that fails costs its drafts and nothing else."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.engine.request import Request
from agentspark.sampling.params import SamplingParams

GREEDY = SamplingParams(max_tokens=24, temperature=0.0, ignore_eos=True)
DRAFTED = RequestOptions(speculation="dspark", verify="full")


@pytest.mark.parametrize("method", ["propose", "append"])
def test_requests_go_on_without_a_drafter_that_fails(
    tiny_target_dir: Path,
    tiny_drafter_dir: Path,
    cost_cache: Path,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = EngineConfig(kv_tokens=4096, cache_dir=cost_cache)
    prompts = [[5 + i, 9, 30, 7] * 6 for i in range(3)]
    with Engine.load(tiny_target_dir, drafter=tiny_drafter_dir, config=config) as engine:
        off = RequestOptions(speculation="off")
        plain = [engine.generate(prompt, GREEDY, options=off).token_ids for prompt in prompts]
        assert engine.drafter is not None
        works, calls = getattr(engine.drafter, method), 0

        def fails(*given: object) -> object:
            nonlocal calls
            calls += 1
            if calls == 5:
                raise RuntimeError("out of memory, say")
            return works(*given)

        monkeypatch.setattr(engine.drafter, method, fails)
        with caplog.at_level(logging.ERROR, logger="agentspark"):
            handles = [
                engine.submit(Request(prompt_token_ids=prompt, sampling=GREEDY, options=DRAFTED))
                for prompt in prompts
            ]
            assert [handle.result(60).token_ids for handle in handles] == plain
            after = engine.generate(prompts[0], GREEDY, options=DRAFTED)
        assert after.token_ids == plain[0]
        assert after.counts.draft_tokens == 0
        assert calls == 5
    said = [record for record in caplog.records if "goes on without it" in record.message]
    assert len(said) == 1 and said[0].exc_info is not None
