"""A real server in a thread of this process, for the tests of clients and servers."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass

import httpx

from agentspark.engine.engine import Engine
from openai_dspark.server.app import ServerApp
from openai_dspark.server.process import Server, bind
from openai_dspark.server.settings import ServerSettings

MODEL = "tiny"


@dataclass
class Served:
    """A running server, seen from both sides."""

    url: str
    app: ServerApp
    server: Server
    thread: threading.Thread

    @property
    def engine(self) -> Engine:
        return self.app.service.engine

    def post(self, path: str = "/v1/chat/completions", **sent) -> httpx.Response:
        return httpx.post(self.url + path, timeout=60, **sent)

    def chat(self, **body) -> httpx.Response:
        headers = body.pop("headers", None)
        given = {"model": MODEL, "max_tokens": 8, "temperature": 0, **body}
        given.setdefault("messages", [{"role": "user", "content": "What does an agent read?"}])
        return self.post(json=given, headers=headers)

    def settled(self) -> bool:
        """Wait until nothing runs; whether that came soon."""
        for _ in range(200):
            stats = self.engine.stats()
            idle = not (stats.running or stats.waiting or self.app.service.calls)
            if idle and self.app.service.admission.taken == 0:
                return True
            time.sleep(0.05)
        return False


@contextlib.contextmanager
def serving(engine: Engine, **settings):
    """Serve ``engine`` until the block ends; that closes it."""
    given = ServerSettings(**{"port": 0, "served_name": MODEL, "drain_s": 5.0, **settings})
    bound = bind(given)
    app = ServerApp(engine, given)
    started = threading.Event()
    server = Server(app, started.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    assert started.wait(30)
    host, port = bound.getsockname()[:2]
    served = Served(f"http://{host}:{port}", app, server, thread)
    try:
        yield served
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
