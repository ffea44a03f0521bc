"""What a client records of its calls: as the server does, where that is agentspark's."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import textwrap

import httpx
import pytest

from agentspark.engine.params import Labels
from agentspark.errors import InvalidRequestError, RemoteStatusError, TraceWriteError
from agentspark.report import compare_script
from agentspark.trace import Recorder, read_trace, text_hash
from openai_dspark import AsyncClient, Client
from openai_dspark.client.account import Account
from openai_dspark.client.order import Ask
from openai_dspark.client.said import prompt_hash

from ..serving import MODEL

CHAT = [{"role": "user", "content": "What does an agent read?"}]
ASKED = {"temperature": 0, "max_tokens": 12}
COUNTS = (
    "prompt_tokens", "completion_tokens", "rounds", "verified_tokens", "accepted_tokens",
    "accepted_histogram", "finish_reason", "arm", "run", "step", "step_name", "drafter",
)  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return tmp_path / "client.jsonl"


@pytest.fixture
def own(served, path):
    with Client(f"{served.url}/v1", model=MODEL, trace=path) as client:
        yield client


def answering(*replies, **more):
    waiting = list(replies)
    transport = httpx.MockTransport(lambda request: waiting.pop(0))
    return Client("http://elsewhere/v1", model="m", transport=transport, **more)


def test_a_call_is_recorded_as_the_server_records_it(own, path, trace_file):
    labels = Labels(run="of a client", step_name="read")
    own.chat(CHAT, labels=labels, **ASKED)
    list(own.chat_stream(CHAT, labels=labels, **ASKED))
    list(own.complete_stream("An agent reads", labels=labels, **ASKED))
    ours = read_trace(path).records
    theirs = [r for r in read_trace(trace_file).records if r.run == "of a client"]
    assert [record.step for record in ours] == [1, 2, 3]
    for mine, its in zip(ours, theirs, strict=True):
        assert {n: getattr(mine, n) for n in COUNTS} == {n: getattr(its, n) for n in COUNTS}
        assert mine.total_ms >= its.total_ms
        assert mine.ttft_ms >= its.ttft_ms
        assert mine.sampling.temperature == 0.0
        assert mine.model == MODEL
    assert ours[0].output_hash == ours[1].output_hash != ours[2].output_hash
    assert ours[0].prompt_hash == ours[1].prompt_hash != ours[2].prompt_hash


async def test_async_calls_are_recorded_alike(served, own, path):
    own.chat(CHAT, **ASKED)
    async with AsyncClient(f"{served.url}/v1", model=MODEL, trace=path) as client:
        await client.chat(CHAT, **ASKED)
        _ = [chunk async for chunk in client.chat_stream(CHAT, **ASKED)]
        task = asyncio.create_task(client.chat(CHAT, max_tokens=1500, ignore_eos=True))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    *done, left = read_trace(path).records
    assert len({record.output_hash for record in done}) == 1
    assert all(record.succeeded for record in done)
    assert (left.finish_reason, left.error.type) == ("cancelled", "RequestCancelledError")


def test_the_place_that_a_server_finds_is_recorded(own, path):
    own.chat(CHAT, model=f"{MODEL}:baseline", **ASKED)
    (record,) = read_trace(path).records
    assert record.run is not None
    assert (record.step, record.arm, record.model) == (1, "baseline", MODEL)


def test_a_stream_that_is_left_is_recorded_as_far_as_it_came(own, path):
    left = own.chat_stream(CHAT, max_tokens=1500, ignore_eos=True)
    next(left)
    left.close()
    for _ in own.chat_stream(CHAT, **ASKED):
        pass
    whole = own.chat_stream(CHAT, **ASKED)
    while next(whole).usage is None:
        pass
    whole.close()  # it has said all
    endings = [record.finish_reason for record in read_trace(path).records]
    assert endings == ["cancelled", "length", "length"]


def test_tries_are_one_call_and_failures_are_recorded(path):
    busy, wrong = httpx.Response(503), httpx.Response(404, json={"error": {"message": "no"}})
    reply = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": []}
    with answering(busy, httpx.Response(200, json=reply), wrong, trace=path) as client:
        client.chat(CHAT, labels=Labels(run="r"))
        with pytest.raises(RemoteStatusError):
            client.chat(CHAT, labels=Labels(run="r"))
        with pytest.raises(InvalidRequestError):  # never sent: no step of the run
            client.chat(CHAT, labels=Labels(run="r"), timeout=-1)
    first, second = read_trace(path).records
    assert (first.step, first.error, first.prompt_tokens, first.output_hash) == (
        1,
        None,
        None,
        None,
    )
    assert (second.step, second.finish_reason, second.error.type) == (
        2,
        "error",
        "RemoteStatusError",
    )


SPECULATION = {
    "mean_acceptance_length": 2.0, "draft_acceptance_rate": 0.5, "acceptance_histogram": [1, 2, 1],
    "num_spec_steps": 4, "num_accepted_draft_tokens": 4, "num_draft_tokens": 8,
    "num_spec_tokens": 2,
}  # fmt: skip


@pytest.mark.parametrize(("tokens", "rounds"), [(9, 4), (12, None)])
def test_what_another_server_tells_is_kept(path, tokens, rounds):
    choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
    reply = {
        "id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice],
        "usage": {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 5 + tokens},
        "metrics": {
            "speculative_decoding": SPECULATION, "queue_time_ms": 1.0, "mean_itl_ms": 5.0,
            "time_to_first_token_ms": 4.0, "generation_time_ms": 40.0, "tokens_per_second": 9.0,
        },
    }  # fmt: skip
    with answering(httpx.Response(200, json=reply), trace=path) as client:
        client.chat(CHAT)
    (record,) = read_trace(path).records
    assert (record.prompt_tokens, record.completion_tokens) == (5, tokens)
    assert (record.verified_tokens, record.accepted_tokens) == (8, 4)
    assert record.accepted_histogram == [1, 2, 1]
    # Passes that drafted nothing are not among theirs.
    assert record.rounds == rounds
    assert (record.queue_ms, record.prefill_ms, record.ttft_ms) == (1.0, 4.0, 5.0)
    assert (record.decode_ms, record.cached_tokens) == (40.0, None)


def test_a_server_that_writes_the_same_file_has_recorded_the_call(served, trace_file):
    with Client(f"{served.url}/v1", model=MODEL, trace=trace_file) as client:
        client.chat(CHAT, labels=Labels(run="once"), **ASKED)
        list(client.chat_stream(CHAT, labels=Labels(run="once"), **ASKED))
    found = [record for record in read_trace(trace_file).records if record.run == "once"]
    assert [record.step for record in found] == [1, 2]
    assert all(record.environment is not None for record in found)  # the engine's own


def test_a_record_that_cannot_be_made_costs_no_call(path, caplog):
    with answering(
        httpx.Response(200, json={
            "id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [],
            "usage": {"prompt_tokens": -1, "completion_tokens": 1, "total_tokens": 0},
        }),
        trace=path,
    ) as client:  # fmt: skip
        assert client.chat(CHAT).usage.prompt_tokens == -1
    assert "A trace record was lost" in caplog.text
    assert read_trace(path).records == []


def test_a_recorder_of_the_caller_stays_open(served, path):
    with Recorder(path) as recorder:
        for _ in range(2):
            with Client(f"{served.url}/v1", model=MODEL, trace=recorder) as client:
                client.chat(CHAT, **ASKED)
        assert len(read_trace(path).records) == 2
    with pytest.raises(TraceWriteError):
        Client("http://x/v1", trace=path.parent)


def test_ids_of_calls_do_not_part_prompts():
    def body(name, other="b"):
        call = {"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        return json.dumps({
            "model": name, "temperature": 1,
            "messages": [*CHAT, {"role": "assistant", "tool_calls": [call]},
                         {"role": "tool", "tool_call_id": name, "content": other}],
        }).encode()  # fmt: skip

    assert prompt_hash(body("call_1")) == prompt_hash(body("call_2"))
    assert prompt_hash(body("call_1")) != prompt_hash(body("call_1", "c"))
    assert prompt_hash(b'{"prompt": "a"}') == text_hash({"prompt": "a"})


def test_an_account_without_an_answer_says_nothing_of_it():
    ask = Ask(model="m", labels=None, timeout_s=None)
    record = Account(ask.chat(CHAT, {})).record(None)
    assert record.finish_reason is record.output_hash is record.completion_tokens is None


def test_a_script_over_a_server_is_compared(served, tmp_path):
    script = tmp_path / "agent.py"
    script.write_text(
        textwrap.dedent(f"""
        from openai_dspark import Client

        with Client("{served.url}/v1", model="{MODEL}") as client:
            messages = {CHAT!r}
            for _ in range(2):
                answer = client.chat(
                    messages, temperature=0, max_tokens=12, agentspark={{"verify": 3}}
                )
                messages.append(answer.choices[0].message.to_dict())
                messages.append({{"role": "user", "content": "And?"}})
    """)
    )
    summary = compare_script([sys.executable, str(script)], tmp_path / "out").summary
    assert [(row.run, row.step) for row in summary.steps] == [("agent", 1), ("agent", 2)]
    assert all(row.outputs_identical and row.prompts_identical for row in summary.steps)
    assert all(row.baseline.draft_tokens == 0 for row in summary.steps)
    ways = {arm: setup.options.speculation for arm, setup in summary.setup.items()}
    assert ways == {"baseline": "off", "accelerated": "auto"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_forked_while_a_record_is_written_can_write(path):
    with Recorder(path) as recorder:
        record = Account(Ask(model="m", labels=None, timeout_s=None).chat(CHAT, {})).record(None)
        with recorder._lock:
            child = os.fork()
            if child == 0:
                recorder.write(record)
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert len(read_trace(path).records) == 1
