"""Requests that take long to prepare: their deadline, their places, a server that stops."""

from __future__ import annotations

import threading
import time

import httpx
import pytest

from ..serving import MODEL, serving

ASKED = {"model": MODEL, "messages": [{"role": "user", "content": "a"}], "max_tokens": 4}


class Slow:
    """Holds up what prepares requests until ``go`` is set."""

    def __init__(self, engine, monkeypatch):
        self.go, self.begun = threading.Event(), threading.Semaphore(0)
        self._prepare = engine.chat_request
        monkeypatch.setattr(engine, "chat_request", self._slowly)

    def _slowly(self, *given, **more):
        self.begun.release()
        assert self.go.wait(30)
        return self._prepare(*given, **more)


@pytest.fixture
def slow(served, monkeypatch):
    held = Slow(served.engine, monkeypatch)
    yield held
    held.go.set()
    assert served.settled()


@pytest.fixture
def later():
    """Runs requests in threads; gives their responses when asked."""
    threads, responses = [], []

    def start(ask):
        thread = threading.Thread(target=lambda: responses.append(ask()))
        thread.start()
        threads.append(thread)

    def end():
        for thread in threads:
            thread.join(30)
        return responses

    return start, end


@pytest.mark.parametrize("stream", [False, True])
def test_the_deadline_holds_while_a_request_is_prepared(served, slow, stream):
    response = served.chat(stream=stream, headers={"x-agentspark-timeout": "0.1"})
    assert response.status_code == 504
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("timeout_error", "deadline_exceeded")
    assert "prepared" in error["message"]


def test_a_client_that_leaves_takes_its_place_until_its_preparation_ends(served, slow):
    admission, threads = served.app.service.admission, 4
    for _ in range(threads + 2):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{served.url}/v1/chat/completions", json=ASKED, timeout=0.1)
    for _ in range(threads):
        assert slow.begun.acquire(timeout=10)
    # What waited for a thread is gone with its client, what has one is not.
    for _ in range(200):
        if admission.taken == threads:
            break
        time.sleep(0.02)
    assert admission.taken == threads
    before = served.engine.stats()
    slow.go.set()
    assert served.settled()
    assert not slow.begun.acquire(blocking=False)
    assert served.engine.stats().used_blocks == before.used_blocks


def test_other_bodies_are_read_while_grammars_take_all_threads(served, slow, later):
    start, end = later
    for _ in range(6):
        start(served.chat)
    for _ in range(4):
        assert slow.begun.acquire(timeout=10)
    padding = "x" * 40_000
    assert served.chat(unheard_of=padding).json()["error"]["param"] == "unheard_of"
    slow.go.set()
    assert [response.status_code for response in end()] == [200] * 6


@pytest.mark.parametrize("drain", [0.0, 30.0])
def test_a_stopping_server_finishes_what_is_prepared_or_says_so(
    make_engine, monkeypatch, later, drain
):
    start, end = later
    with serving(make_engine(), drain_s=drain) as running:
        slow = Slow(running.engine, monkeypatch)
        start(running.chat)
        assert slow.begun.acquire(timeout=10)
        running.server.should_exit = True
        if drain:
            while not running.app.service.draining:
                time.sleep(0.01)
            slow.go.set()
        (response,) = end()
        slow.go.set()
    if drain:
        assert response.status_code == 200
        assert response.json()["choices"][0]["finish_reason"] == "length"
    else:
        assert response.status_code == 503
        assert response.json()["error"]["code"] == "shutting_down"
