"""Responses that somebody read before the caller does are recorded as all others are."""

from __future__ import annotations

import gzip
import json

import httpx
import pytest

from agentspark.trace import read_trace
from openai_dspark import AsyncTracingTransport, TracingTransport

from ..peers import END, HEAD, USAGE, chunk, streamed, text

ASKED = {"model": "m", "messages": [{"role": "user", "content": "a"}]}
WHOLE = {
    **HEAD, "object": "chat.completion", "usage": USAGE,
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}}
    ],
}  # fmt: skip
URL = "http://there/v1/chat/completions"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "client.jsonl"


def in_pieces(request):
    """An answer that is still to be read."""
    body = json.dumps(WHOLE).encode()
    return httpx.Response(200, content=iter([body[:9], body[9:]]))


class Pieces(httpx.AsyncByteStream):
    async def __aiter__(self):
        for piece in in_pieces(None).stream:
            yield piece


async def in_async_pieces(request):
    return httpx.Response(200, stream=Pieces())


class Reads(httpx.BaseTransport):
    """Reads every answer, to log it say."""

    def __init__(self, transport):
        self.transport = transport

    def handle_request(self, request):
        response = self.transport.handle_request(request)
        response.read()
        return response


class AsyncReads(httpx.AsyncBaseTransport):
    def __init__(self, transport):
        self.transport = transport

    async def handle_async_request(self, request):
        response = await self.transport.handle_async_request(request)
        await response.aread()
        return response


def the_record(path):
    (record,) = read_trace(path).records
    return record.finish_reason, record.completion_tokens, record.succeeded


def test_by_a_transport_below_or_above_or_a_hook(path):
    inner = httpx.MockTransport(in_pieces)
    ways = {
        "below": {"transport": TracingTransport(path.with_name("below"), Reads(inner))},
        "above": {"transport": Reads(TracingTransport(path.with_name("above"), inner))},
        "hook": {
            "transport": TracingTransport(path.with_name("hook"), inner),
            "event_hooks": {"response": [lambda response: response.read()]},
        },
    }
    for name, way in ways.items():
        with httpx.Client(**way) as client:
            assert client.post(URL, json=ASKED).json() == WHOLE
            assert the_record(path.with_name(name)) == ("stop", 17, True), name


async def test_by_an_async_one(path):
    inner = httpx.MockTransport(in_async_pieces)

    async def hook(response):
        await response.aread()

    ways = {
        "below": {"transport": AsyncTracingTransport(path.with_name("below"), AsyncReads(inner))},
        "above": {"transport": AsyncReads(AsyncTracingTransport(path.with_name("above"), inner))},
        "hook": {
            "transport": AsyncTracingTransport(path.with_name("hook"), inner),
            "event_hooks": {"response": [hook]},
        },
    }
    for name, way in ways.items():
        async with httpx.AsyncClient(**way) as client:
            assert (await client.post(URL, json=ASKED)).json() == WHOLE
            assert the_record(path.with_name(name)) == ("stop", 17, True), name


def test_an_answer_that_came_whole_and_compressed(path):
    body = gzip.compress(json.dumps(WHOLE).encode())
    headers = {"content-encoding": "gzip"}
    inner = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, content=body))
    with httpx.Client(transport=TracingTransport(path, inner)) as client:
        assert client.post(URL, json=ASKED).json() == WHOLE
    assert the_record(path) == ("stop", 17, True)


def test_a_stream_of_events(path):
    def answer(request):
        return streamed(chunk(text("a")), chunk(END, usage=USAGE))

    transport = TracingTransport(path, httpx.MockTransport(answer))
    with httpx.Client(transport=transport) as client:
        client.post(URL, json={**ASKED, "stream": True})
    assert the_record(path) == ("length", 17, True)


def test_what_is_no_answer(path):
    inner = httpx.MockTransport(lambda _: httpx.Response(200, json={"error": {"message": "full"}}))
    with httpx.Client(transport=TracingTransport(path, inner)) as client:
        client.post(URL, json=ASKED)
    assert the_record(path) == ("error", None, False)
