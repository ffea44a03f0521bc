"""A call's ``timeout`` bounds the call, whatever the server does with its time."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from agentspark.errors import RemoteStatusError, RequestTimeoutError
from openai_dspark import AsyncClient, Client
from openai_dspark.client import deadline

from ..slow import slow

CHAT = [{"role": "user", "content": "What does an agent read?"}]
SLOW = ["hangs", "drips", "fails"]


@pytest.fixture
def server(request):
    with slow(request.param) as running:
        yield running


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(deadline, "GRACE_S", 0.05)


@pytest.mark.parametrize("server", SLOW, indirect=True)
def test_a_slow_server_is_left_at_the_deadline(server):
    with Client(server.url, model="m") as client:
        with pytest.raises(RequestTimeoutError, match=r"timeout of 0\.2 s"):
            client.chat(CHAT, timeout=0.2)
        with pytest.raises(RequestTimeoutError, match=r"timeout of 0\.2 s"):
            list(client.chat_stream(CHAT, timeout=0.2))
    assert len(server.told) == 2


def test_a_reader_that_is_faster_than_the_timer_knows_why(monkeypatch):
    """The end of a body of unknown length looks like any other."""
    limit, seen = deadline.Deadline(1.0), []
    monkeypatch.setattr(deadline, "hang_up", lambda response: seen.append(limit.hung_up))
    limit._hang_up(httpx.Response(200, stream=httpx.ByteStream(b"")))
    assert seen == [True]


@pytest.mark.parametrize("server", SLOW, indirect=True)
async def test_async_too(server):
    async with AsyncClient(server.url, model="m") as client:
        with pytest.raises(RequestTimeoutError, match=r"timeout of 0\.2 s"):
            await client.chat(CHAT, timeout=0.2)
        with pytest.raises(RequestTimeoutError, match=r"timeout of 0\.2 s"):
            [chunk async for chunk in client.chat_stream(CHAT, timeout=0.2)]
    assert len(server.told) == 2


@pytest.mark.parametrize("server", ["refuses"], indirect=True)
async def test_tries_share_the_time_and_end_with_it(server):
    with (
        Client(server.url, model="m", max_retries=10_000) as client,
        pytest.raises(RemoteStatusError, match="503"),
    ):
        client.chat(CHAT, timeout=1.0)
    first = len(server.told)
    assert server.told[0] <= 1.0
    assert server.told == sorted(server.told, reverse=True)
    async with AsyncClient(server.url, model="m", max_retries=10_000) as other:
        with pytest.raises(RemoteStatusError, match="503"):
            await other.chat(CHAT, timeout=1.0)
    assert len(server.told) > first


@pytest.mark.parametrize("server", ["keeps"], indirect=True)
async def test_what_came_in_time_may_be_read_late(server):
    with Client(server.url, model="m") as client:
        chunks = client.chat_stream(CHAT, timeout=0.3)
        next(chunks)
        time.sleep(0.5)
        assert len(list(chunks)) == 2
    async with AsyncClient(server.url, model="m") as other:
        stream = other.chat_stream(CHAT, timeout=0.3)
        await anext(stream)
        await asyncio.sleep(0.5)
        assert len([chunk async for chunk in stream]) == 2
