"""What the openai package asks is recorded on its way, and arrives as without that."""

from __future__ import annotations

import json
import sys
import textwrap

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from agentspark.report import compare_script
from agentspark.trace import read_trace
from openai_dspark import AsyncTracingTransport, TracingTransport
from openai_dspark.client.exchange import Exchange, labels_in

from ..serving import MODEL

CHAT = [{"role": "user", "content": "What does an agent read?"}]
ASKED = {"model": MODEL, "temperature": 0}
COUNTS = (
    "prompt_tokens", "completion_tokens", "cached_tokens", "rounds", "verified_tokens",
    "accepted_tokens", "accepted_histogram", "finish_reason", "arm", "run", "step", "drafter",
)  # fmt: skip
LOOK = {
    "type": "function",
    "function": {
        "name": "look",
        "parameters": {"type": "object", "properties": {"deep": {"type": "boolean"}}},
    },
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "client.jsonl"


@pytest.fixture
def client(served, path):
    http = httpx.Client(transport=TracingTransport(path))
    with OpenAI(base_url=f"{served.url}/v1", api_key="none", http_client=http) as client:
        yield client


def test_calls_are_recorded_as_the_server_records_them(served, client, path, trace_file):
    headers, usage = {"x-agentspark-run": "of openai"}, {"include_usage": True}
    create = client.chat.completions.create
    whole = create(**ASKED, messages=CHAT, max_tokens=12, extra_headers=headers)
    chunks = create(
        **ASKED, messages=CHAT, max_tokens=12, extra_headers=headers, stream=True,
        stream_options=usage,
    )  # fmt: skip
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    call = {"tools": [LOOK], "tool_choice": "required", "max_tokens": 40}
    create(**ASKED, messages=CHAT, extra_headers=headers, **call)
    list(
        create(
            **ASKED, messages=CHAT, extra_headers=headers, stream=True, stream_options=usage,
            **call,
        )
    )  # fmt: skip
    client.completions.create(**ASKED, prompt="A", max_tokens=12, extra_headers=headers)
    assert served.settled()
    ours = read_trace(path).records
    theirs = [r for r in read_trace(trace_file).records if r.run == "of openai"]
    assert [record.step for record in ours] == [1, 2, 3, 4, 5]
    for mine, its in zip(ours, theirs, strict=True):
        assert {n: getattr(mine, n) for n in COUNTS} == {n: getattr(its, n) for n in COUNTS}
        assert mine.ttft_ms >= its.ttft_ms
    hashes = [record.output_hash for record in ours]
    assert hashes[0] == hashes[1] != hashes[2] == hashes[3]


async def test_responses_are_recorded_too(served, path):
    http = httpx.AsyncClient(transport=AsyncTracingTransport(path))
    asked = {**ASKED, "input": "What does an agent read?", "max_output_tokens": 16}
    async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", http_client=http) as client:
        whole = await client.responses.create(**asked)
        async with client.responses.stream(**asked) as stream:
            _ = [event async for event in stream]
        async with client.responses.stream(**{**asked, "max_output_tokens": 1500}) as stream:
            await anext(stream)
    first, second, left = read_trace(path).records
    assert first.output_hash == second.output_hash
    assert first.prompt_hash == second.prompt_hash
    assert first.completion_tokens == second.completion_tokens == whole.usage.output_tokens
    assert first.finish_reason == second.finish_reason == "length"
    assert second.rounds > 0
    assert 0 < second.ttft_ms <= second.total_ms
    assert left.finish_reason == "cancelled"


def test_a_stream_that_is_left_ends_as_cancelled(served, client, path):
    with client.chat.completions.create(
        **ASKED, messages=CHAT, max_tokens=1500, stream=True
    ) as stream:
        next(iter(stream))
    assert served.settled()
    (record,) = read_trace(path).records
    assert record.finish_reason == "cancelled"


def test_only_answers_are_recorded_and_all_passes_as_it_is(path):
    replies = iter([
        httpx.Response(503),
        httpx.Response(200, content=iter([b"not what", b" was asked for"])),
        httpx.Response(200, content=iter([b'{"data": []}'])),
        httpx.Response(200, content=iter([b"[]"])),
    ])  # fmt: skip
    transport = TracingTransport(path, httpx.MockTransport(lambda request: next(replies)))
    with httpx.Client(transport=transport, base_url="http://there/v1/") as client:
        assert client.post("chat/completions", json={"messages": CHAT}).status_code == 503
        answer = client.post("chat/completions", json={"messages": CHAT})
        assert answer.text == "not what was asked for"
        assert client.get("models").json() == {"data": []}
        assert client.post("responses", json={"input": "a", "stream": False}).json() == []
    first, second = read_trace(path).records
    assert first.completion_tokens is second.completion_tokens is first.output_hash is None


def test_what_breaks_is_recorded_as_broken(path):
    def broken():
        yield b"data: {}\n\n"
        raise httpx.ReadError("gone")

    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=broken()))
    http = httpx.Client(transport=TracingTransport(path, transport))
    client = OpenAI(base_url="http://there/v1", api_key="none", http_client=http)
    with pytest.raises((openai.APIError, httpx.ReadError)):
        list(client.chat.completions.create(model="m", messages=CHAT, stream=True))
    (record,) = read_trace(path).records
    assert (record.finish_reason, record.error.type) == ("error", "ReadError")


def test_an_error_within_a_stream_is_recorded_as_one(served, client, path):
    late = {"x-agentspark-timeout": "0.3"}
    with pytest.raises(openai.APIError):
        list(
            client.chat.completions.create(
                **ASKED, messages=CHAT, max_tokens=2000, stream=True, extra_headers=late,
                extra_body={"agentspark": {"verify": 0}},
            )
        )  # fmt: skip
    assert served.settled()
    (record,) = read_trace(path).records
    assert not record.succeeded
    assert (record.finish_reason, record.error.type) == ("error", "RemoteStatusError")


def test_a_step_that_is_no_number_is_none():
    for step in ("9" * 5000, "x", "", "²"):
        headers = httpx.Headers({"x-agentspark-step": step}, encoding="utf-8")
        assert labels_in(headers).step is None
    assert labels_in(httpx.Headers({"x-agentspark-step": "7"})).step == 7


@pytest.mark.parametrize(
    ("method", "url", "content"),
    [
        ("GET", "http://x/v1/chat/completions", b""),
        ("POST", "http://x/v1/embeddings", b"{}"),
        ("POST", "http://x/v1/completions", b"{"),
        ("POST", "http://x/v1/completions", b"[]"),
    ],
)
def test_what_generates_nothing_is_let_pass(method, url, content):
    assert Exchange.of(httpx.Request(method, url, content=content)) is None


def test_a_script_around_openai_is_compared(served, tmp_path):
    script = tmp_path / "Müllers agent.py"
    script.write_text(
        textwrap.dedent(f"""
        import httpx
        from openai import OpenAI
        from openai_dspark import TracingTransport

        http = httpx.Client(transport=TracingTransport())
        client = OpenAI(base_url="{served.url}/v1", api_key="none", http_client=http)
        messages = {CHAT!r}
        for _ in range(2):
            answer = client.chat.completions.create(
                model="{MODEL}", messages=messages, temperature=0, max_tokens=12
            )
            messages.append({{"role": "assistant", "content": answer.choices[0].message.content}})
            messages.append({{"role": "user", "content": "And?"}})
    """)
    )
    summary = compare_script([sys.executable, str(script)], tmp_path / "out").summary
    assert [(row.run, row.step) for row in summary.steps] == [
        ("Müllers agent", 1),
        ("Müllers agent", 2),
    ]
    assert all(row.outputs_identical and row.prompts_identical for row in summary.steps)
    assert all(row.baseline.draft_tokens == 0 for row in summary.steps)
    ways = {arm: setup.options.speculation for arm, setup in summary.setup.items()}
    assert ways == {"baseline": "off", "accelerated": "auto"}
    assert [note.text for note in summary.notes] == []


def test_calls_of_custom_tools_and_of_namespaces_are_calls(path):
    def reply(**call):
        item = {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "a", **call}
        given = {"id": "r", "model": "m", "status": "completed", "output": [item]}
        return httpx.Response(200, content=iter([json.dumps(given).encode()]))

    asked = [{}, {"input": "b"}, {"namespace": "files"}, {"call_id": "d"}]
    replies = iter([reply(**call) for call in asked])
    transport = TracingTransport(path, httpx.MockTransport(lambda request: next(replies)))
    with httpx.Client(transport=transport) as http:
        for _ in asked:
            http.post("http://there/v1/responses", json={"input": "a"})
    records = read_trace(path).records
    assert {record.finish_reason for record in records} == {"tool_calls"}
    hashes = [record.output_hash for record in records]
    assert len(set(hashes)) == 3
    assert hashes[0] == hashes[3]
