"""A forked child never reads its parent's answers: it opens connections of its own."""

from __future__ import annotations

import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from openai_dspark import AsyncClient, Client

from ..forked import in_child, needs_fork

pytestmark = [
    needs_fork,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


class Telling(BaseHTTPRequestHandler):
    """Answers with what was asked and which connection it came over."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        reply = {
            "id": asked["messages"][0]["content"], "object": "chat.completion", "created": 0,
            "model": str(self.client_address[1]), "choices": [],
        }  # fmt: skip
        body = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Telling)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


def ask(text):
    return [{"role": "user", "content": text}]


def test_a_child_opens_its_own_connections(url):
    with Client(url, model="m") as client:
        before = client.chat(ask("before"))

        def call():
            mine = client.chat(ask("child"))
            client.close()
            return mine.id, mine.model

        said, connection = in_child(call)
        assert said == "child"
        assert connection != before.model
        after = client.chat(ask("after"))
        assert (after.id, after.model) == ("after", before.model)


async def test_async_too(url):
    async with AsyncClient(url, model="m") as client:
        before = await client.chat(ask("before"))

        async def call():
            mine = await client.chat(ask("child"))
            await client.close()
            return mine.id, mine.model

        said, connection = in_child(lambda: asyncio.run(call()))
        assert said == "child"
        assert connection != before.model
        after = await client.chat(ask("after"))
        assert (after.id, after.model) == ("after", before.model)


def test_what_was_closed_before_the_fork_stays_closed(url):
    client = Client(url, model="m")
    client.close()
    assert "was closed" in in_child(lambda: client.chat(ask("child")))
