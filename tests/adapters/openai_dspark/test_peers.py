"""What is made of what other servers say."""

from __future__ import annotations

import json

import httpx
import openai
import pytest

from agentspark.errors import RemoteConnectionError, RemoteStatusError
from agentspark.trace import read_trace
from openai_dspark import AsyncClient, Client, TracingTransport
from openai_dspark.client.problems import problem_in

from ..peers import END, HEAD, TIMINGS, TOO_LONG, USAGE, chunk, streamed, stub, text

CHAT = [{"role": "user", "content": "Repeat: a b c a b c"}]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "client.jsonl"


def client(response, path):
    transport = stub(response)
    return Client("http://there/v1", model="smol", trace=path, transport=transport, max_retries=0)


def test_times_and_drafts_of_llama_cpp_are_recorded(path):
    whole = {
        **HEAD, "object": "chat.completion", "usage": USAGE, "timings": TIMINGS,
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}}
        ],
    }  # fmt: skip
    with client(httpx.Response(200, json=whole), path) as one:
        one.chat(CHAT)
    with client(
        streamed(chunk(text("a")), chunk(END), chunk(usage=USAGE, timings=TIMINGS)), path
    ) as one:
        list(one.chat_stream(CHAT))
    at_once, pieces = read_trace(path).records
    for record in (at_once, pieces):
        assert (record.prefill_ms, record.queue_ms) == (1536.045, None)
        assert (record.prompt_tokens, record.cached_tokens) == (55, 24)
        drafts = record.draft_tokens, record.verified_tokens, record.accepted_tokens
        assert drafts == (21, 21, 3)
        assert record.rounds is record.accepted_histogram is None
    assert (at_once.ttft_ms, at_once.decode_ms) == (None, 2180.033)
    assert pieces.ttft_ms < 1536.045 > pieces.decode_ms


@pytest.mark.parametrize("timings", [{"prompt_ms": "soon"}, {"prompt_n": -1}, [], None, {}])
def test_what_is_called_timings_elsewhere_is_let_pass(path, timings):
    with client(streamed(chunk(text("a")), chunk(END, timings=timings)), path) as one:
        list(one.chat_stream(CHAT))
    (record,) = read_trace(path).records
    assert record.succeeded
    assert record.prefill_ms is record.prompt_tokens is record.draft_tokens is None


def test_timings_of_several_choices_are_nobodys(path):
    two = {"index": 1, "delta": {"content": "b"}, "finish_reason": None}
    with client(streamed(chunk(text("a")), chunk(two), chunk(END, timings=TIMINGS)), path) as one:
        list(one.chat_stream(CHAT, n=2))
    (record,) = read_trace(path).records
    assert record.prefill_ms is record.prompt_tokens is record.draft_tokens is None


def openai_client(response, path):
    http = httpx.Client(transport=TracingTransport(path, stub(response)))
    return openai.OpenAI(base_url="http://there/v1", api_key="n", http_client=http, max_retries=0)


def test_a_stream_that_nobody_asks_for_usage_is_counted_by_timings(path):
    create = openai_client(streamed(chunk(text("a")), chunk(END, timings=TIMINGS)), path)
    list(create.chat.completions.create(model="smol", messages=CHAT, stream=True))
    (record,) = read_trace(path).records
    assert (record.prompt_tokens, record.cached_tokens, record.completion_tokens) == (55, 24, 17)


def test_what_thinking_took_is_recorded(path):
    thought = {**USAGE, "completion_tokens_details": {"reasoning_tokens": 9}}
    response = {
        "id": "r", "object": "response", "model": "m", "output": [], "status": "completed",
        "usage": {
            "input_tokens": 5, "output_tokens": 12, "total_tokens": 17,
            "output_tokens_details": {"reasoning_tokens": 7},
        },
    }  # fmt: skip
    with client(streamed(chunk(text("a")), chunk(END, usage=thought)), path) as one:
        list(one.chat_stream(CHAT))
    with client(streamed(chunk(text("a")), chunk(END, usage=USAGE)), path) as one:
        list(one.chat_stream(CHAT))
    create = openai_client(httpx.Response(200, json=response), path).responses.create
    create(model="m", input="a")
    assert [record.reasoning_tokens for record in read_trace(path).records] == [9, None, 7]


def test_an_event_that_is_no_answer_does_not_make_a_call_fail(path):
    done = {
        **HEAD, "object": "text_completion",
        "choices": [{"text": "a", "index": 0, "logprobs": None, "finish_reason": "length"}],
    }  # fmt: skip
    asked = {"model": "smol", "prompt": ["A", "B"], "stream": True}
    # llama.cpp begins the stream of several prompts with null.
    list(openai_client(streamed("null", done), path).completions.create(**asked))
    list(openai_client(streamed("null"), path).completions.create(**asked))
    good, bad = read_trace(path).records
    assert good.succeeded and good.finish_reason == "length"
    assert not bad.succeeded


def test_probabilities_of_completions_may_have_the_shape_of_chats(path):
    token = {"id": 3, "token": "a", "bytes": [97], "logprob": -1.0, "top_logprobs": []}
    choice = {"text": "a", "index": 0, "finish_reason": "length"}
    reply = {
        **HEAD, "object": "text_completion", "usage": USAGE,
        "choices": [{**choice, "logprobs": {"content": [token]}}],
    }  # fmt: skip
    with client(httpx.Response(200, json=reply), path) as one:
        assert one.complete("A", logprobs=2).choices[0].logprobs.content[0].token == "a"


@pytest.mark.parametrize("server", TOO_LONG)
def test_a_prompt_too_long_for_another_server_overflows_the_context(path, server):
    refusal = httpx.Response(400, json={"error": TOO_LONG[server]})
    with client(refusal, path) as one, pytest.raises(RemoteStatusError) as caught:
        one.chat(CHAT)
    assert caught.value.code == "context_length_exceeded"


def test_other_refusals_keep_their_codes():
    for code, message in [
        (400, "max_tokens=100000 cannot be greater than max_model_len=2048."),
        ("mine", TOO_LONG["vllm"]["message"]),
        (None, "no"),
    ]:
        problem = problem_in(json.dumps({"error": {"message": message, "code": code}}))
        assert problem.code == (None if code is None else str(code))


def test_a_connection_that_breaks_within_an_answer_was_there():
    def broken():
        yield f"data: {json.dumps(chunk(text('a')))}\n\n".encode()
        raise httpx.RemoteProtocolError("peer closed connection")

    transport = httpx.MockTransport(lambda request: httpx.Response(200, content=broken()))
    with Client("http://there/v1", model="smol", transport=transport) as one:
        stream = one.chat_stream(CHAT)
        next(stream)
        with pytest.raises(RemoteConnectionError, match=r"was whole \(peer closed"):
            next(stream)


TWO = {"index": 1, "delta": {"content": "b"}, "finish_reason": None}


@pytest.mark.parametrize(
    ("events", "whole"),
    [
        ([chunk(text("a")), chunk(END, usage=USAGE)], True),
        ([chunk(text("a")), chunk(END), chunk(usage=USAGE)], True),
        ([chunk(text("a")), chunk(TWO), chunk(END)], False),
        ([chunk(text("a"))], False),
        ([chunk(usage=USAGE)], False),
        ([], False),
    ],
)
async def test_a_stream_is_whole_where_its_choices_have_ended(path, events, whole):
    """As those of transformers' server, which never says that it is done."""
    kept = {"model": "smol", "trace": path, "max_retries": 0}
    with client(streamed(*events, done=False), path) as one:
        if whole:
            assert len(list(one.chat_stream(CHAT))) == len(events)
        else:
            with pytest.raises(RemoteConnectionError, match="before it was complete"):
                list(one.chat_stream(CHAT))
    transport = httpx.MockTransport(lambda request: streamed(*events, done=False))
    async with AsyncClient("http://there/v1", transport=transport, **kept) as other:
        if whole:
            assert len([chunk async for chunk in other.chat_stream(CHAT)]) == len(events)
        else:
            with pytest.raises(RemoteConnectionError, match="before it was complete"):
                _ = [chunk async for chunk in other.chat_stream(CHAT)]
    assert [record.succeeded for record in read_trace(path).records] == [whole] * 2


def test_completions_may_leave_out_what_is_none(path):
    part = {**HEAD, "object": "text_completion", "choices": [{"text": "a", "index": 0}]}
    last = {**part, "choices": [{"text": "", "index": 0, "finish_reason": "length"}]}
    with client(streamed(part, last, done=False), path) as one:
        assert [c.choices[0].text for c in one.complete_stream("A")] == ["a", ""]


def test_responses_say_their_limit_too(path):
    body = {"id": "r", "object": "response", "model": "smol", "output": [], "status": "completed"}
    http = httpx.Client(transport=TracingTransport(path, stub(httpx.Response(200, json=body))))
    http.post("http://there/v1/responses", json={"input": "a", "max_output_tokens": 24})
    http.post(
        "http://there/v1/chat/completions", json={"max_completion_tokens": None, "max_tokens": 3}
    )
    assert [record.sampling.max_tokens for record in read_trace(path).records] == [24, 3]
