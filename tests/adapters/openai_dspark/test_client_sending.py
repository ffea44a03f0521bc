"""What happens before a response's headers are there: it takes no longer than its call may."""

from __future__ import annotations

import asyncio
import socket
import threading

import httpx
import pytest

from agentspark.errors import RemoteConnectionError, RequestTimeoutError
from openai_dspark import AsyncClient, Client
from openai_dspark.client import deadline, sending
from openai_dspark.client.hanging_up import hang_up

CHAT = [{"role": "user", "content": "What does an agent read?"}]
WHOLE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 79\r\n\r\n"
    b'{"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": []}'
).replace(b"79", b"83")


class Dripping:
    """Answers the first request of a connection, if ``greets``; then ``drips`` pieces for ever."""

    def __init__(self, drips: bytes, greets: bool) -> None:
        self.drips, self.greets = drips, greets
        self.left = threading.Event()
        self.lost = threading.Semaphore(0)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}/v1"
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                accepted = self.listening.accept()[0]
            except OSError:
                return
            self.threads.append(threading.Thread(target=self._serve, args=(accepted,)))
            self.threads[-1].start()

    def _serve(self, accepted: socket.socket) -> None:
        with accepted:
            accepted.settimeout(30)
            if self.greets and self._read(accepted):
                accepted.sendall(WHOLE)
            if self._read(accepted):
                try:
                    accepted.sendall(b"HTTP/1.1 " + b"100 Continue\r\n")
                    while not self.left.wait(0.02):
                        accepted.sendall(self.drips)
                except OSError:
                    pass
        self.lost.release()

    @staticmethod
    def _read(accepted: socket.socket) -> bytes:
        got = b""
        while b'"messages"' not in got:
            part = accepted.recv(1 << 16)
            if not part:
                return b""
            got += part
        return got

    def close(self) -> None:
        self.left.set()
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        for thread in self.threads:
            thread.join()


@pytest.fixture(params=["headers", "early answers"])
def drips(request):
    return b"x-a: b\r\n" if request.param == "headers" else b"\r\nHTTP/1.1 103 Early Hints\r\n"


@pytest.fixture(params=[False, True], ids=["fresh", "pooled"])
def dripping(request, drips, monkeypatch):
    monkeypatch.setattr(deadline, "GRACE_S", 0.05)
    server = Dripping(drips, request.param)
    yield server
    server.close()


def test_headers_that_never_end_are_left_at_the_deadline(dripping):
    with Client(dripping.url, model="m", timeout=20.0) as client:
        if dripping.greets:
            assert client.chat(CHAT).id == "1"
        with pytest.raises(RequestTimeoutError, match=r"timeout of 0\.2 s"):
            client.chat(CHAT, timeout=0.2)
        assert dripping.lost.acquire(timeout=10)


async def test_async_too(dripping):
    async with AsyncClient(dripping.url, model="m", timeout=20.0) as client:
        if dripping.greets:
            assert (await client.chat(CHAT)).id == "1"
        with pytest.raises(RequestTimeoutError, match=r"timeout of 0\.2 s"):
            await client.chat(CHAT, timeout=0.2)
        assert await asyncio.to_thread(dripping.lost.acquire, timeout=10)


def test_a_large_request_is_written_within_the_time(monkeypatch):
    written = []

    class Stream:
        def read(self, max_bytes, timeout=None):
            return b"."

        def write(self, buffer, timeout=None):
            written.append((bytes(buffer), timeout))

    stream = Stream()
    sending._bound(stream)
    stream.write(b"ab" * 20_000, 7.0)
    assert b"".join(piece for piece, _ in written) == b"ab" * 20_000
    assert len(written) > 2
    token = sending._sending.set(deadline.Deadline(3.0))
    try:
        stream.write(b"a", 70.0)
        assert written[-1][1] <= 5.0
        monkeypatch.setattr(deadline, "GRACE_S", -10.0)
        with pytest.raises(Exception, match="time is over"):
            stream.read(1, 70.0)
    finally:
        sending._sending.reset(token)


async def test_a_cancelled_call_leaves_no_connection_behind():
    server = Dripping(b"x-a: b\r\n", greets=False)
    try:
        async with AsyncClient(server.url, model="m") as client:
            pool = client._http._transport._pool
            for turns in range(1, 40):
                task = asyncio.create_task(client.chat(CHAT))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert not [one for one in pool.connections if "NEW" in repr(one)], turns
    finally:
        server.close()


def test_a_hundred_calls_do_not_wait_for_each_other():
    client = AsyncClient(model="m")
    assert client._http._transport._pool._max_connections > 1000


async def test_a_full_pool_of_the_callers_own_is_named():
    def full(request):
        raise httpx.PoolTimeout("full", request=request)

    client = Client(model="m", max_retries=0, transport=httpx.MockTransport(full))
    with client, pytest.raises(RemoteConnectionError, match="no connection of this client"):
        client.chat(CHAT)


class Refusing:
    """uvloop's stand-in for a socket."""

    def __init__(self, real: socket.socket) -> None:
        self.fileno = real.fileno

    def shutdown(self, how: int) -> None:
        raise TypeError("transport sockets do not support shutdown() method")


def test_a_connection_is_hung_up_on_in_any_event_loop():
    ours, theirs = socket.socketpair()
    with ours, theirs:

        class Stream:
            def get_extra_info(self, info):
                return Refusing(ours)

        response = httpx.Response(
            200, extensions={"network_stream": Stream()}, stream=httpx.ByteStream(b"")
        )
        hang_up(response)
        theirs.settimeout(10)
        assert theirs.recv(1) == b""
        assert ours.fileno() >= 0


@pytest.mark.parametrize("timeout", [float("inf"), 1e300, 3e9])
async def test_any_patience_can_be_had(timeout):
    server = Dripping(b"", True)
    try:
        with Client(server.url, model="m", timeout=timeout) as client:
            assert client.chat(CHAT).id == "1"
        async with AsyncClient(server.url, model="m", timeout=timeout) as other:
            assert (await other.chat(CHAT)).id == "1"
    finally:
        server.close()


def test_a_client_that_is_closed_meanwhile_says_so():
    asked = []

    def closing(request):
        asked.append(request)
        client.close()
        raise httpx.ReadError("[Errno 9] Bad file descriptor")

    client = Client("http://x/v1", model="m", transport=httpx.MockTransport(closing))
    with pytest.raises(RemoteConnectionError, match="was closed"):
        client.chat(CHAT)
    assert len(asked) == 1
