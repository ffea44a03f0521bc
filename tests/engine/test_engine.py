"""What the engine promises beside its tokens: ends, errors, memory, cancellation, traces."""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from agentspark.config import EngineConfig
from agentspark.engine import choosing
from agentspark.engine.engine import Engine
from agentspark.engine.events import adelta_stream
from agentspark.engine.params import Labels, RequestOptions
from agentspark.engine.request import Request
from agentspark.engine.runner import FlatRows, RowOutputs, TargetRunner
from agentspark.errors import (
    ConfigError,
    DrafterFormatError,
    DrafterMismatchError,
    InvalidRequestError,
    KVCapacityError,
    RequestCancelledError,
    RequestError,
)
from agentspark.sampling.params import SamplingParams
from agentspark.trace import Recorder, read_trace

from .test_equivalence import GREEDY, PLAIN, prompt

LONG = SamplingParams(max_tokens=1500, ignore_eos=True)


def small_engine(folder: Path, cache: Path, **more: object) -> Engine:
    config = EngineConfig(cache_dir=cache, **{"kv_tokens": 2048, **more})  # type: ignore[arg-type]
    return Engine.load(folder, drafter=None, config=config)


def wait_until_idle(engine: Engine) -> None:
    deadline = time.monotonic() + 30
    while engine.stats().running or engine.stats().waiting:
        assert time.monotonic() < deadline, "the engine did not become idle"
        time.sleep(0.002)


@pytest.mark.parametrize(
    "messages", [[], [{"role": "narrator", "content": "hi"}], [{"role": "user", "content": 3}]]
)
def test_bad_messages_are_refused(tiny_engine: Engine, messages: list[dict[str, object]]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        tiny_engine.chat(messages)
    assert caught.value.param is not None
    assert caught.value.param.startswith("messages")


def test_asking_for_a_drafter_that_is_not_there_is_refused(
    tiny_target_dir: Path, cost_cache: Path
) -> None:
    with small_engine(tiny_target_dir, cost_cache) as engine:
        with pytest.raises(InvalidRequestError, match="needs a drafter"):
            engine.generate([5, 6], GREEDY, options=RequestOptions(speculation="dspark"))
        assert engine.exact


def test_exact_mode_that_does_not_hold_is_found_out(
    tiny_target_dir: Path,
    cost_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = TargetRunner.forward

    def shaky(self: TargetRunner, rows: FlatRows) -> RowOutputs:
        outputs = whole(self, rows)
        return RowOutputs(outputs.logits + (len(rows.token_ids) == 1), outputs.features)

    monkeypatch.setattr(TargetRunner, "forward", shaky)
    with small_engine(tiny_target_dir, cost_cache) as engine:
        assert not engine.exact
    assert "Exact mode cannot be kept" in caplog.text


def test_length_stop_and_eos_ends(tiny_engine: Engine) -> None:
    tokens = prompt(40, 1)
    whole = tiny_engine.generate(tokens, GREEDY, options=PLAIN)
    assert whole.finish_reason == "length"
    piece = whole.text[10:14]
    for least in (0, 48):  # of end tokens: a stop string may come before
        ends = SamplingParams(max_tokens=48, min_tokens=least, stop=(piece,), ignore_eos=True)
        stopped = tiny_engine.generate(tokens, ends)
        assert stopped.finish_reason == "stop"
        assert stopped.text == whole.text[: whole.text.index(piece)]
        assert stopped.token_ids == whole.token_ids[: len(stopped.token_ids)]


def test_min_tokens_bans_the_end_until_then(tiny_engine: Engine) -> None:
    hot = {"temperature": 50.0, "seed": 9}
    ended = tiny_engine.generate(
        prompt(30, 2), SamplingParams(max_tokens=1900, **hot), options=PLAIN
    )
    assert ended.finish_reason == "stop"
    length = len(ended.token_ids)
    sampling = SamplingParams(max_tokens=length + 9, min_tokens=length + 9, **hot)
    held = tiny_engine.generate(prompt(30, 2), sampling, options=PLAIN)
    assert held.token_ids[: length - 1] == ended.token_ids[:-1]
    assert held.token_ids[length - 1] != ended.token_ids[-1]
    assert len(held.token_ids) == length + 9


def test_logprobs_name_the_chosen_token_first(tiny_engine: Engine) -> None:
    sampling = SamplingParams(max_tokens=12, logprobs=3, ignore_eos=True)
    done = tiny_engine.generate(prompt(30, 3), sampling)
    assert done.logprobs is not None
    assert [entry.token_id for entry in done.logprobs] == done.token_ids
    for entry in done.logprobs:
        assert len(entry.top) == 3
        assert entry.top[0][1] == pytest.approx(entry.logprob, abs=1e-3)
    off = tiny_engine.generate(
        prompt(30, 3), sampling, options=RequestOptions(speculation="off", share_prefix=False)
    )
    assert off.logprobs == done.logprobs


def test_sixteen_branches_hold_their_prefix_once(tiny_target_dir: Path, cost_cache: Path) -> None:
    shared = prompt(2000, 5)[:1984]
    with small_engine(tiny_target_dir, cost_cache, kv_tokens=8192, prefill_chunk=512) as engine:
        sampling = SamplingParams(max_tokens=8, ignore_eos=True)
        engine.generate([*shared, 9], sampling)
        one = engine.stats().used_blocks
        handles = [
            engine.submit(Request(prompt_token_ids=[*shared, 10 + i], sampling=sampling))
            for i in range(16)
        ]
        done = [handle.result(60) for handle in handles]
        assert all(c.counts.cached_tokens == 1984 for c in done)
        assert engine.stats().used_blocks <= 1.2 * one


def test_siblings_sent_at_once_compute_their_prefix_once(
    tiny_target_dir: Path, cost_cache: Path
) -> None:
    shared = prompt(600, 6)[:512]
    with small_engine(tiny_target_dir, cost_cache, prefill_chunk=64) as engine:
        handles = [
            engine.submit(Request(prompt_token_ids=[*shared, 10 + i], sampling=GREEDY))
            for i in range(3)
        ]
        cached = [handle.result(60).counts.cached_tokens for handle in handles]
    assert cached == [0, 512, 512]


def test_a_full_pool_preempts_and_resumes_with_the_same_output(
    tiny_target_dir: Path, cost_cache: Path
) -> None:
    sampling = SamplingParams(max_tokens=200, ignore_eos=True)
    sampled = SamplingParams(max_tokens=200, ignore_eos=True, temperature=0.8, seed=3)
    jobs = [(prompt(100, seed), sampled if seed % 2 else sampling) for seed in range(6)]
    with small_engine(tiny_target_dir, cost_cache, kv_tokens=4096) as engine:
        expected = [engine.generate(t, s, options=PLAIN).token_ids for t, s in jobs]
    with small_engine(tiny_target_dir, cost_cache, kv_tokens=640) as engine:
        handles = [
            engine.submit(Request(prompt_token_ids=t, sampling=s, options=PLAIN)) for t, s in jobs
        ]
        assert [handle.result(120).token_ids for handle in handles] == expected
        wait_until_idle(engine)
        assert engine.stats().used_blocks == engine.stats().cached_blocks == 0


def test_a_request_larger_than_the_pool_fails_alone(
    tiny_target_dir: Path, cost_cache: Path
) -> None:
    with small_engine(tiny_target_dir, cost_cache, kv_tokens=256) as engine:
        good = engine.submit(Request(prompt_token_ids=prompt(50, 1), sampling=GREEDY))
        with pytest.raises(KVCapacityError, match="kv_tokens"):
            engine.generate(prompt(400, 2), GREEDY)
        with pytest.raises(KVCapacityError, match="kv_tokens"):
            engine.generate(prompt(50, 3), LONG)
        assert len(good.result(60).token_ids) == 48
        assert len(engine.generate(prompt(50, 4), GREEDY).token_ids) == 48


def test_cancelling_frees_the_blocks_and_raises(tiny_engine: Engine) -> None:
    before = tiny_engine.stats()
    options = RequestOptions(share_prefix=False)
    handle = tiny_engine.submit(
        Request(prompt_token_ids=prompt(300, 7), sampling=LONG, options=options)
    )
    iterator = iter(handle)
    next(iterator)
    handle.cancel()
    with pytest.raises(RequestCancelledError):
        handle.result(30)
    wait_until_idle(tiny_engine)
    assert tiny_engine.stats().used_blocks == before.used_blocks


def test_leaving_a_stream_cancels(tiny_engine: Engine) -> None:
    for delta in tiny_engine.stream(prompt(30, 8), LONG):
        assert delta.token_ids
        break
    wait_until_idle(tiny_engine)


async def test_leaving_an_async_stream_cancels(tiny_engine: Engine) -> None:
    stream = tiny_engine.astream(prompt(30, 8), LONG)
    async for _ in stream:
        break
    await stream.aclose()  # type: ignore[attr-defined]
    wait_until_idle(tiny_engine)


@pytest.mark.parametrize("failed", [False, True])
async def test_deltas_come_once(tiny_engine: Engine, failed: bool) -> None:
    handle = tiny_engine.submit(Request(prompt_token_ids=prompt(30, 8), sampling=GREEDY))
    if failed:
        handle.cancel()
    with pytest.raises(RequestCancelledError) if failed else nullcontext():
        list(handle)
    with pytest.raises(RequestError, match="come once"):
        iter(handle)
    with pytest.raises(RequestError, match="come once"):
        await anext(adelta_stream(handle))
    with pytest.raises(RequestCancelledError) if failed else nullcontext():
        assert handle.result(0).token_ids


def test_cancelling_leaves_another_request_of_the_same_id(tiny_engine: Engine) -> None:
    first, second = (
        tiny_engine.submit(Request(prompt_token_ids=prompt(30, 8), sampling=sampling, id="twin"))
        for sampling in (LONG, GREEDY)
    )
    first.cancel()
    assert second.result(60).finish_reason in ("stop", "length")
    with pytest.raises(RequestCancelledError):
        first.result(30)


def test_many_threads_at_once(tiny_engine: Engine) -> None:
    expected = tiny_engine.generate(prompt(60, 9), GREEDY, options=PLAIN).token_ids
    results: list[list[int]] = []

    def call() -> None:
        results.append(tiny_engine.generate(prompt(60, 9), GREEDY).token_ids)

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 6


def test_every_call_leaves_a_record(
    tiny_target_dir: Path, cost_cache: Path, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.jsonl"
    config = EngineConfig(kv_tokens=1024, cache_dir=cost_cache)
    with Engine.load(tiny_target_dir, drafter=None, config=config, trace=trace) as engine:
        tokens = prompt(100, 1)
        first = engine.generate(tokens, GREEDY, labels=Labels(run="r", step=1, step_name="plan"))
        broken = [*tokens[:50], 7, *tokens[51:]]
        engine.generate(broken, GREEDY, labels=Labels(run="r", step=2))
        with pytest.raises(KVCapacityError):
            engine.generate(prompt(1100, 2), GREEDY, labels=Labels(run="r", step=3))
    records = read_trace(trace).records
    assert [record.step for record in records] == [1, 2, 3]
    assert records[0].step_name == "plan"
    assert records[0].completion_tokens == len(first.token_ids)
    assert records[0].cache_break_position is None
    assert records[1].cache_break_position == 50
    assert records[2].finish_reason == "error"
    assert records[2].error is not None
    assert records[2].error.type == "KVCapacityError"


def test_a_failing_trace_costs_no_request(
    tiny_target_dir: Path, cost_cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(tmp_path / "trace.jsonl")
    config = EngineConfig(kv_tokens=1024, cache_dir=cost_cache)
    with Engine.load(tiny_target_dir, drafter=None, config=config, trace=recorder) as engine:
        recorder.close()
        assert len(engine.generate(prompt(20, 1), GREEDY).token_ids) == 48
    assert "trace record was lost" in caplog.text


def test_a_drafter_of_another_target_is_refused(
    tiny_qwen3_dir: Path, tiny_drafter_dir: Path, cost_cache: Path, tmp_path: Path
) -> None:
    config = EngineConfig(kv_tokens=1024, cache_dir=cost_cache)
    with pytest.raises(DrafterMismatchError):
        Engine.load(tiny_qwen3_dir, drafter=tiny_drafter_dir, config=config)
    with pytest.raises(DrafterFormatError, match="no drafter folder"):
        Engine.load(tiny_qwen3_dir, drafter=tmp_path / "nowhere", config=config)


def test_token_ids_are_traced_where_they_are_asked_for_and_nowhere_else(
    tiny_target_dir: Path, cost_cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="give trace as well"):
        Engine.load(tiny_target_dir, drafter=None, trace_tokens=True)
    for name, asked in (("plain", False), ("whole", True)):
        trace = tmp_path / f"{name}.jsonl"
        config = EngineConfig(kv_tokens=1024, cache_dir=cost_cache)
        with Engine.load(
            tiny_target_dir, drafter=None, config=config, trace=trace, trace_tokens=asked
        ) as engine:
            done = engine.generate(prompt(12, 1), SamplingParams(max_tokens=4, ignore_eos=True))
        (record,) = read_trace(trace).records
        expected = (prompt(12, 1), done.token_ids) if asked else (None, None)
        assert (record.prompt_token_ids, record.output_token_ids) == expected


@pytest.mark.parametrize("exact", [True, False])
def test_margins_are_traced_with_outputs_that_may_part(
    tiny_target_dir: Path, cost_cache: Path, tmp_path: Path, exact: bool
) -> None:
    config = EngineConfig(dtype="float32", kv_tokens=1024, cache_dir=cost_cache, exact=exact)
    asked = SamplingParams(max_tokens=9, logprobs=2)
    with Engine.load(
        tiny_target_dir, drafter=None, config=config, trace=tmp_path / "t.jsonl", trace_tokens=True
    ) as engine:
        done = engine.generate("hello hello hello", asked)
        assert engine.exact is exact
    (record,) = read_trace(tmp_path / "t.jsonl").records
    if exact:
        assert record.output_margins is None
        return
    tops = [chosen.top for chosen in done.logprobs or []]
    expected = [best[1] - second[1] for best, second in tops]
    assert record.output_margins == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("problem", ["nothing adds up", "probabilities are not finite"])
def test_a_choice_that_fails_ends_its_own_request_alone(
    tiny_engine: Engine, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    alone = tiny_engine.generate(prompt(40), GREEDY).token_ids
    whole = choosing.probabilities

    def fails_in_the_middle(logits: torch.Tensor, params: list[SamplingParams]) -> torch.Tensor:
        if params[0].temperature != 0.77:
            return whole(logits, params)
        if problem == "nothing adds up":
            raise ValueError(problem)
        return torch.full_like(logits, torch.nan)

    monkeypatch.setattr(choosing, "probabilities", fails_in_the_middle)
    others = [Request(prompt_token_ids=prompt(40), sampling=GREEDY) for _ in range(2)]
    broken = Request(
        prompt_token_ids=prompt(41), sampling=SamplingParams(temperature=0.77, max_tokens=8)
    )
    handles = [tiny_engine.submit(request) for request in (others[0], broken, others[1])]
    with pytest.raises(RequestError, match=rf"could not be chosen \(ValueError: .*{problem}\)"):
        handles[1].result(30)
    assert [handles[at].result(30).token_ids for at in (0, 2)] == [alone, alone]
    wait_until_idle(tiny_engine)
    assert tiny_engine.alive
    assert tiny_engine.generate(prompt(40), GREEDY).token_ids == alone
