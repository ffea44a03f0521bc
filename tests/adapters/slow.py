"""A server that takes its time and knows nothing of time limits, in a thread of this process."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_SHARED = {"id": "1", "created": 0, "model": "m"}
CHUNK = {
    **_SHARED, "object": "chat.completion.chunk",
    "choices": [{"index": 0, "delta": {"content": "a"}}],
}  # fmt: skip
REPLY = {**_SHARED, "object": "chat.completion", "choices": []}
EVENT = f"data: {json.dumps(CHUNK)}\n\n".encode()


class SlowServer(ThreadingHTTPServer):
    """Answers as ``how`` says; ``told`` are the time limits it was told and did not keep.

    ``hangs`` sends nothing, ``drips`` and ``fails`` a piece of an answer (or of an error) at a
    time for ever, ``refuses`` an error, ``keeps`` a whole stream at once.
    """

    def __init__(self, how: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.how = how
        self.told: list[float] = []
        self.left = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SlowServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.told.append(float(self.headers["x-agentspark-timeout"]))
        self.close_connection = True
        how = self.server.how
        if how == "hangs":
            self.server.left.wait(30)
            return
        if how == "refuses":
            self.send_response(503)
            self.send_header("retry-after", "0")
            self.send_header("content-length", "0")
            self.end_headers()
            return
        self.send_response(200 if how != "fails" else 500)
        self.send_header("connection", "close")
        self.end_headers()
        if how == "keeps":
            self.wfile.write(EVENT * 3 + b"data: [DONE]\n\n")
            return
        piece = EVENT if body.get("stream") else b" "
        with contextlib.suppress(OSError):
            while not self.server.left.wait(0.02):
                self.wfile.write(piece)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def slow(how: str):
    """Run one until the block ends."""
    server = SlowServer(how)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.left.set()
        server.shutdown()
        server.server_close()
        thread.join()
