"""What can be seen of a request afterwards: heads, ids, metrics, health."""

from __future__ import annotations

import httpx
import pytest

from agentspark.engine.handle import Handle
from agentspark.errors import EngineError

from ..serving import MODEL

LONG = {"max_tokens": 1500, "ignore_eos": True}


def test_no_answer_is_to_be_kept(served):
    for answer in (
        served.chat(max_tokens=1),
        served.chat(max_tokens=1, stream=True),
        served.chat(max_tokens=0),
        httpx.get(f"{served.url}/health"),
        httpx.get(f"{served.url}/metrics", headers={"host": "elsewhere"}),
    ):
        assert answer.headers["cache-control"] == "no-store"


def test_request_ids_come_back(served):
    given = served.chat(headers={"x-request-id": "mine-1"})
    assert given.headers["x-request-id"] == "mine-1"
    made = served.chat(headers={"x-request-id": "not\tplain"})
    assert made.headers["x-request-id"] != "not\tplain"
    assert len({served.chat().headers["x-request-id"] for _ in range(2)}) == 2


def test_metrics_and_health_tell_what_happened(served):
    served.chat()
    text = httpx.get(f"{served.url}/metrics").text
    assert 'agentspark_generations_total{arm="accelerated",finish="length"}' in text
    assert "gen_ai_server_time_to_first_token_seconds_bucket" in text
    assert "agentspark_kv_blocks 1024.0" in text
    assert 'route="/v1/chat/completions",status="200"' in text
    for path in ("/health", "/v1/models", "/metrics", "/openapi.json"):
        head, whole = httpx.head(served.url + path), httpx.get(served.url + path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == whole.headers["content-type"]
    assert 'route="/openapi.json",status="200"' in httpx.get(f"{served.url}/metrics").text
    assert httpx.head(f"{served.url}/v1/chat/completions").status_code == 405
    name = 'agentspark_http_requests_total{route="/health",status="200"} '
    counts = []
    for _ in range(2):
        text = httpx.get(f"{served.url}/metrics").text
        counts += [float(line[len(name) :]) for line in text.splitlines() if line.startswith(name)]
        httpx.head(f"{served.url}/health")
    assert counts[1] == counts[0] + 1
    for path in ("/health", "/health/ready", "/health/live"):
        health = httpx.get(served.url + path).json()
        assert health == {"status": "ok", "model": MODEL, "running": 0, "waiting": 0}


def test_metrics_tell_why_generations_did_not_end(served, monkeypatch):
    def count(finish):
        text = httpx.get(f"{served.url}/metrics").text
        name = f'agentspark_generations_total{{arm="accelerated",finish="{finish}"}}'
        found = [line for line in text.splitlines() if line.startswith(name)]
        return float(found[0].rsplit(" ", 1)[1]) if found else 0.0

    finishes = ("cancelled", "deadline", "error")
    before = {finish: count(finish) for finish in finishes}
    late = served.chat(**LONG, n=2, headers={"x-agentspark-timeout": "0.2"})
    assert late.status_code == 504
    with pytest.raises(httpx.ReadTimeout):
        body = {"model": MODEL, "messages": [{"role": "user", "content": "a"}], **LONG}
        httpx.post(f"{served.url}/v1/chat/completions", json=body, timeout=0.3)
    assert served.settled()

    def broken(request):
        handle = Handle(request.id, lambda handle: None)
        handle.put(EngineError("The loop is broken."))
        return handle

    with monkeypatch.context() as patched:
        patched.setattr(served.engine, "submit", broken)
        assert served.chat().status_code == 503
    assert {finish: count(finish) - before[finish] for finish in finishes} == {
        "cancelled": 1, "deadline": 2, "error": 1,
    }  # fmt: skip
