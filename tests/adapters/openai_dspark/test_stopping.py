"""How a server ends: it drains, says so, and says when its engine is dead."""

from __future__ import annotations

import socket
import time

import httpx

from ..serving import MODEL, serving

LONG = {"max_tokens": 1500, "ignore_eos": True}
SLOW = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
)


def test_a_stopping_server_drains_then_cancels(make_engine):
    body = {"model": MODEL, "messages": [{"role": "user", "content": "a"}], "stream": True, **LONG}
    short = {**body, "max_tokens": 60, "temperature": 0}
    said: dict[str, str] = {}
    with serving(make_engine(), drain_s=0.0) as running:
        url = f"{running.url}/v1/chat/completions"
        host, port = running.url.removeprefix("http://").split(":")
        with (
            socket.create_connection((host, int(port)), timeout=10) as slow,
            httpx.stream("POST", url, json=body, timeout=60) as response,
        ):
            slow.sendall(SLOW)
            lines = response.iter_lines()
            next(lines)
            running.server.should_exit = True
            said["cut"] = "".join(lines)
            said["late"] = b"".join(iter(lambda: slow.recv(65536), b"")).decode()
        running.thread.join(30)
        assert not running.engine.alive
    assert '"code":"shutting_down"' in said["cut"]
    # Nobody waits for a body that is still on its way.
    assert said["late"].startswith("HTTP/1.1 503")
    assert '"code":"shutting_down"' in said["late"]
    with serving(make_engine(), drain_s=30.0) as running:
        url = f"{running.url}/v1/chat/completions"
        with httpx.stream("POST", url, json=short, timeout=60) as response:
            lines = response.iter_lines()
            next(lines)
            running.server.should_exit = True
            time.sleep(0.3)
            said["drained"] = "".join(lines)
    assert '"finish_reason":"length"' in said["drained"]
    assert said["drained"].endswith("[DONE]")


def test_while_it_drains_it_says_so(served):
    service = served.app.service
    service.draining = True
    try:
        refused = served.chat()
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "shutting_down"
        assert "retry-after" in refused.headers
        assert httpx.get(f"{served.url}/health/ready").status_code == 503
        assert httpx.get(f"{served.url}/health/live").status_code == 200
    finally:
        service.draining = False
    assert served.chat().status_code == 200


def test_a_dead_engine_is_said_to_be_dead(make_engine):
    with serving(make_engine()) as running:
        running.engine.close()
        response = running.chat()
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "engine_unavailable"
        assert httpx.get(f"{running.url}/health/live").status_code == 503
        assert running.app.service.admission.taken == 0
