"""HTTP clients live as long as what they serve: threads, or one event loop."""

from __future__ import annotations

import asyncio

from langchain_dspark.call import Address
from langchain_dspark.clients import Clients

ADDRESS = Address("http://127.0.0.1:9/v1", None, 1.0, 0)


def test_a_loop_that_ended_leaves_nothing():
    clients, opened = Clients(), []

    async def call():
        opened.append(await clients.async_client(ADDRESS))
        assert await clients.async_client(ADDRESS) is opened[-1]
        assert len(clients._loops) == 1

    for _ in range(3):
        asyncio.run(call())
        assert not clients._loops
    assert len(set(opened)) == 3
    assert all(client._http.is_closed for client in opened)


def test_a_loop_that_was_merely_closed_is_forgotten_at_the_next_call():
    clients = Clients()
    loop = asyncio.new_event_loop()
    loop.run_until_complete(clients.async_client(ADDRESS))
    loop.close()
    asyncio.run(clients.async_client(ADDRESS))
    assert not clients._loops
