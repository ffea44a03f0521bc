"""How an engine ends: closed, or by an error of its loop, and everybody is told."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.request import Request
from agentspark.errors import (
    EngineClosedError,
    EngineDiedError,
)
from agentspark.sampling.params import SamplingParams
from agentspark.trace import read_trace

from .test_engine import small_engine
from .test_equivalence import GREEDY, prompt

LONG = SamplingParams(max_tokens=1500, ignore_eos=True)


def test_closing_ends_what_runs_and_records_it(
    tiny_target_dir: Path, cost_cache: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.jsonl"
    config = EngineConfig(kv_tokens=2048, cache_dir=cost_cache)
    engine = Engine.load(tiny_target_dir, drafter=None, config=config, trace=trace)
    handle = engine.submit(Request(prompt_token_ids=prompt(30, 1), sampling=LONG))
    engine.close()
    (record,) = read_trace(trace).records
    assert (record.request_id, record.finish_reason) == (handle.request_id, "cancelled")
    assert record.error is not None and record.error.type == "EngineClosedError"
    with pytest.raises(EngineClosedError):
        handle.result(30)
    with pytest.raises(EngineClosedError):
        engine.generate([5, 6])
    engine.close()


def test_a_loop_that_dies_while_it_admits_tells_everybody(
    tiny_target_dir: Path, cost_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_engine(tiny_target_dir, cost_cache) as engine:
        turn, gate = engine._parts.turn, threading.Event()
        forward, admit, seen = turn.runner.forward, turn.memory.admit, []

        def held(rows: object) -> object:
            assert gate.wait(30)
            return forward(rows)  # type: ignore[arg-type]

        def explode(sequence: object) -> None:
            seen.append(sequence)
            if len(seen) == 3:
                raise RuntimeError("the books are lost")
            admit(sequence)  # type: ignore[arg-type]

        monkeypatch.setattr(turn.runner, "forward", held)
        monkeypatch.setattr(turn.memory, "admit", explode)
        # The first holds the loop until the others wait; two of them share a prefix that one of
        # the two computes, so that the other is held back.
        handles = [
            engine.submit(Request(prompt_token_ids=tokens, sampling=GREEDY))
            for tokens in (prompt(30, 1), prompt(200, 2), prompt(200, 2), prompt(30, 3))
        ]
        gate.set()
        for handle in handles:
            with pytest.raises(EngineDiedError, match="the books are lost"):
                handle.result(30)


def test_a_loop_that_dies_over_an_end_tells_everybody(
    tiny_target_dir: Path, cost_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_engine(tiny_target_dir, cost_cache) as engine:

        def explode(*_: object, **__: object) -> None:
            raise RuntimeError("the memory is lost")

        monkeypatch.setattr(engine.target.tokenizer, "remember", explode)
        lengths = (SamplingParams(max_tokens=3), LONG)
        handles = [
            engine.submit(Request(prompt_token_ids=prompt(30, 1), sampling=sampling))
            for sampling in lengths
        ]
        for handle in handles:
            with pytest.raises(EngineDiedError, match="the memory is lost"):
                handle.result(30)


def test_a_dying_loop_tells_everybody(
    tiny_target_dir: Path, cost_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_engine(tiny_target_dir, cost_cache) as engine:

        def explode(_: object) -> None:
            raise RuntimeError("the device is lost")

        monkeypatch.setattr(engine._parts.turn.runner, "forward", explode)
        with pytest.raises(EngineDiedError, match="the device is lost"):
            engine.generate(prompt(30, 1), GREEDY)
        with pytest.raises(EngineDiedError):
            engine.generate(prompt(30, 1), GREEDY)
