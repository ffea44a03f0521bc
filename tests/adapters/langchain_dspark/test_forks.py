"""A forked child of a process that called a model calls it on its own."""

from __future__ import annotations

import asyncio
import threading

import pytest

from agentspark.config import EngineConfig
from agentspark.errors import EngineClosedError
from agentspark.sampling.params import SamplingParams
from langchain_dspark import ChatDSpark, engines, forks
from langchain_dspark.clients import Clients
from langchain_dspark.engines import Leases

from ..forked import in_child, needs_fork
from .test_clients import ADDRESS

pytestmark = [
    needs_fork,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


@pytest.fixture
def model(tiny_name):
    config = EngineConfig(max_requests=5)
    with ChatDSpark(model=tiny_name, drafter=None, max_tokens=4, engine_config=config) as model:
        yield model


def test_a_child_loads_an_engine_of_its_own(model):
    said = model.invoke("a").text
    assert in_child(lambda: model.invoke("a").text) == said
    assert in_child(lambda: asyncio.run(model.ainvoke("a")).text) == said
    assert model.invoke("a").text == said


def test_an_engine_that_was_made_before_the_fork_says_so(model):
    engine = model._engine()
    handle = engine.submit(
        engine.chat_request([{"role": "user", "content": "a"}], SamplingParams(max_tokens=1))
    )

    def tries():
        found = []
        for call in (engine.generate, engine.chat):
            try:
                call("a" if call == engine.generate else [{"role": "user", "content": "a"}])
            except EngineClosedError as error:
                found.append(str(error))
        handle.cancel()
        engine.close()
        return found, engine.alive

    found, alive = in_child(tries)
    assert len(found) == 2
    assert all("load it in the child" in text for text in found)
    assert not alive
    assert engine.alive


def test_locks_that_are_held_at_the_fork_are_free_in_the_child():
    leases, clients = Leases(), Clients()
    first = clients.client(ADDRESS)

    def tries():
        leases.close()
        return clients.client(ADDRESS) is not first, bool(engines._registry)

    with leases._lock, clients._lock, engines._registry_lock:
        assert in_child(tries) == (True, False)
    clients.close()


def test_what_nobody_holds_is_not_remembered():
    holder = Leases()
    known = id(holder)
    assert forks._restarts[known] is holder
    del holder
    assert known not in forks._restarts


def test_threads_of_a_child_may_call_at_once(model):
    said = model.invoke("a").text

    def tries():
        found = []
        calls = [
            threading.Thread(target=lambda: found.append(model.invoke("a").text)) for _ in range(3)
        ]
        for call in calls:
            call.start()
        for call in calls:
            call.join()
        return found

    assert in_child(tries) == [said] * 3
