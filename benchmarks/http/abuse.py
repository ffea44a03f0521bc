"""What the clients of a soak do to a server: ask, leave, time out, ask nonsense."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from agentspark.errors import RemoteError, RemoteStatusError
from benchmarks.http.chats import Chat
from benchmarks.http.served import NAME
from openai_dspark import AsyncClient

_BAD: tuple[dict[str, Any], ...] = (
    {"messages": []},
    {"temperature": -1},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
    {"n": 10_000},
    {"unheard_of": 1},
    {"messages": [{"role": "user", "content": "word " * 20_000}]},
    {"tools": [{"type": "function", "function": {"name": "f" * 100}}]},
    {"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 5}}}},
)
_BODIES = (b"", b"{", b"\xff\xfe", b"[]", b"x" * 100_000)
_SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}


class Abuser:
    """One client. ``act`` does one thing at random and names it and how it ended."""

    def __init__(self, client: AsyncClient, chats: list[Chat], seed: int, tokens: int) -> None:
        self._client = client
        self._chats = chats
        self._random = random.Random(seed)
        self._tokens = tokens
        self._deeds: tuple[Callable[[], Awaitable[str]], ...] = (
            self.ask,
            self.ask,
            self.stream,
            self.leave_stream,
            self.give_up,
            self.run_late,
            self.branch,
            self.structure,
            self.ask_wrongly,
            self.send_nonsense,
        )

    async def act(self) -> tuple[str, str]:
        """Do one thing; the deed, and ``ok``, an error's status or what else it was."""
        deed = self._random.choice(self._deeds)
        try:
            return deed.__name__, await deed()
        except RemoteStatusError as error:
            return deed.__name__, str(error.status or error.code)
        except RemoteError as error:
            return deed.__name__, type(error).__name__

    async def ask(self) -> str:
        """Wait for an answer."""
        await self._client.chat(self._messages(), **self._params())
        return "ok"

    async def stream(self) -> str:
        """Read a stream to its end."""
        async for _ in self._client.chat_stream(self._messages(), **self._params()):
            pass
        return "ok"

    async def leave_stream(self) -> str:
        """Read a few chunks and go."""
        left = self._random.randrange(1, 6)
        stream = self._client.chat_stream(self._messages(), **self._params())
        async for _ in stream:
            left -= 1
            if not left:
                break
        await stream.aclose()
        return "ok"

    async def give_up(self) -> str:
        """Close the connection while waiting."""
        asking = asyncio.ensure_future(self.ask())
        await asyncio.wait((asking,), timeout=self._random.uniform(0.0, 1.0))
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        return "ok"

    async def run_late(self) -> str:
        """Ask for an answer in less time than it takes."""
        late = self._random.uniform(0.01, 0.3)
        await self._client.chat(self._messages(), timeout=late, **self._params())
        return "ok"

    async def branch(self) -> str:
        """Ask for several answers."""
        await self._client.chat(self._messages(), n=self._random.randrange(2, 4), **self._params())
        return "ok"

    async def structure(self) -> str:
        """Ask for JSON."""
        shape = {"type": "json_schema", "json_schema": {"name": "person", "schema": _SCHEMA}}
        await self._client.chat(self._messages(), response_format=shape, **self._params())
        return "ok"

    async def ask_wrongly(self) -> str:
        """Send a body with a value that cannot be."""
        bad = self._random.choice(_BAD)
        body = {"model": NAME, "messages": self._messages(), "max_tokens": 4, **bad}
        return await self._raw(json=body)

    async def send_nonsense(self) -> str:
        """Send what is no JSON."""
        headers = {"content-type": "application/json"}
        return await self._raw(content=self._random.choice(_BODIES), headers=headers)

    async def _raw(self, **sent: Any) -> str:
        url = f"{self._client.settings.base_url}/chat/completions"
        try:
            async with httpx.AsyncClient(timeout=60) as http:
                return str((await http.post(url, **sent)).status_code)
        except httpx.HTTPError as error:
            return type(error).__name__

    def _messages(self) -> list[dict[str, str]]:
        return self._random.choice(self._chats).messages

    def _params(self) -> Any:
        return {
            "max_tokens": self._random.randrange(1, self._tokens),
            "temperature": self._random.choice((0.0, 1.0)),
            "agentspark": {"speculation": self._random.choice(("auto", "auto", "suffix", "off"))},
        }
