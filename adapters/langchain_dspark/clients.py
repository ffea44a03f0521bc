"""The HTTP clients of one model: one for threads, and one per event loop."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from functools import partial

from langchain_dspark import forks
from langchain_dspark.call import Address
from openai_dspark.client import AsyncClient, Client


class Clients:
    """Opens clients when they are first asked for. Copies start without any.

    An asynchronous client's connections belong to its event loop, and are closed with it. A forked
    child starts without any, too.
    """

    def __init__(self) -> None:
        self._start()
        forks.restart_in_child(self, Clients._start)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._clients: dict[Address, Client] = {}
        self._closing = weakref.finalize(self, _close_all, self._clients)
        # Not by weak keys: the generator that closes a client refers to its loop.
        self._loops: dict[asyncio.AbstractEventLoop, dict[Address, _Kept]] = {}

    def __eq__(self, other: object) -> bool:
        """Two models are equal by their settings, whatever each has opened so far."""
        return isinstance(other, Clients)

    def __reduce__(self) -> tuple[type[Clients], tuple[()]]:
        """Pickled and deep copies open their own."""
        return Clients, ()

    def client(self, address: Address) -> Client:
        """The client for threads."""
        with self._lock:
            if address not in self._clients:
                self._clients[address] = Client(
                    address.base_url,
                    api_key=address.api_key,
                    timeout=address.timeout_s,
                    max_retries=address.max_retries,
                    trace=address.trace,
                )
            return self._clients[address]

    async def async_client(self, address: Address) -> AsyncClient:
        """The client for the running event loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            # Loops that were closed without ending their generators, as asyncio.run would.
            for other in list(self._loops):
                if other.is_closed():
                    self._loops.pop(other, None)
            kept = self._loops.setdefault(loop, {})
            if address not in kept:
                kept[address] = _Kept(address, partial(self._loops.pop, loop, None))
            found = kept[address]
        await found.open()
        return found.client

    def close(self) -> None:
        """Close the connections for threads; those of event loops are closed with their loops."""
        with self._lock:
            _close_all(self._clients)


class _Kept:
    """An asynchronous client that its event loop closes at its end.

    ``asyncio.run`` closes the asynchronous generators that are still open when it ends; that is
    the only call that reaches every loop.
    """

    def __init__(self, address: Address, forget: Callable[[], object]) -> None:
        self.client = AsyncClient(
            address.base_url,
            api_key=address.api_key,
            timeout=address.timeout_s,
            max_retries=address.max_retries,
            trace=address.trace,
        )
        self._keeper = self._keep()
        self._opened = False
        self._forget = forget

    async def open(self) -> None:
        """Let the running loop close the client."""
        if not self._opened:
            self._opened = True
            await anext(self._keeper)

    async def _keep(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._forget()
            await self.client.close()


def _close_all(clients: dict[Address, Client]) -> None:
    while clients:
        clients.popitem()[1].close()
