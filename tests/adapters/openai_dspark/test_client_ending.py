"""What the client does with a stream's connection once the answer is whole."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agentspark.errors import RemoteConnectionError
from openai_dspark import AsyncClient, Client
from openai_dspark.client import ending

CHAT = [{"role": "user", "content": "What does an agent read?"}]
CHUNK = {
    "id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m",
    "choices": [{"index": 0, "delta": {"content": "a"}}],
}  # fmt: skip
ANSWER = f"data: {json.dumps(CHUNK)}\n\ndata: [DONE]\n\n".encode()


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Streaming(BaseHTTPRequestHandler):
    """Streams one answer per request and then ends the body as its server's ``ending`` says."""

    protocol_version = "HTTP/1.1"

    def setup(self):
        super().setup()
        self.server.connections += 1

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        how = self.server.ending
        if how == "together":
            self.wfile.write(chunked(ANSWER) + b"0\r\n\r\n")
            return
        self.wfile.write(chunked(ANSWER))
        if how == "apart":
            self.server.left.wait(0.02)
            self.wfile.write(chunked(b": comment\n\n") + b"0\r\n\r\n")
            return
        if how == "held":
            self.server.left.wait(30)
        with contextlib.suppress(OSError):
            while how == "endless":
                self.wfile.write(chunked(b": comment\n\n" * 1000))
        self.close_connection = True

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def streaming(request):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Streaming)
    server.connections, server.ending, server.left = 0, request.param, threading.Event()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.left.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def impatient(request, monkeypatch):
    if "held" in request.node.name:
        monkeypatch.setattr(ending, "_GRACE_S", 0.1)


def url(server):
    return f"http://127.0.0.1:{server.server_port}/v1"


ENDINGS = [("together", 1), ("apart", 1), ("held", 3), ("endless", 3), ("broken", 3)]


@pytest.mark.parametrize(("streaming", "connections"), ENDINGS, indirect=["streaming"])
def test_a_connection_whose_stream_ended_is_used_again(streaming, connections):
    with Client(url(streaming), model="m") as client:
        for _ in range(3):
            assert len(list(client.chat_stream(CHAT))) == 1
    assert streaming.connections == connections


@pytest.mark.parametrize(("streaming", "connections"), ENDINGS, indirect=["streaming"])
async def test_async_too(streaming, connections):
    async with AsyncClient(url(streaming), model="m") as client:
        for _ in range(3):
            assert len([chunk async for chunk in client.chat_stream(CHAT)]) == 1
    assert streaming.connections == connections


@pytest.mark.parametrize("streaming", ["held"], indirect=True)
def test_time_is_given_to_the_end_only(streaming, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ANSWER", ANSWER[: ANSWER.index(b"data: [DONE]")])
    with (
        Client(url(streaming), model="m", timeout=0.5) as client,
        pytest.raises(RemoteConnectionError, match="in time"),
    ):
        list(client.chat_stream(CHAT))
