"""So many streams at once: chats answered over HTTP, and how long that took."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agentspark.engine.params import Labels
from agentspark.report.statistics import ratio
from agentspark.trace.record import Arm
from benchmarks.http.chats import Chat
from benchmarks.http.served import NAME
from openai_dspark import AsyncClient


@dataclass(frozen=True, slots=True)
class Load:
    """Tokens of all answers, and the seconds from the first question to the last answer's end."""

    tokens: int
    seconds: float

    @property
    def tokens_s(self) -> float | None:
        """Tokens per second."""
        return ratio(self.tokens, self.seconds)


async def run_load(
    url: str, chats: Sequence[Chat], streams: int, arm: Arm, salt: str, max_tokens: int
) -> Load:
    """Answer all chats, ``streams`` at a time, every stream one after the other.

    Nothing is cached when a load begins. What different chats have in common is then found in the
    cache as it would be in service; a chat that is asked again, as there are not enough, is not.
    """
    waiting = list(zip(_times_asked(chats), chats, strict=True))

    async def stream(client: AsyncClient) -> int:
        tokens = 0
        while waiting:
            before, chat = waiting.pop(0)
            async for chunk in client.chat_stream(
                chat.messages,
                labels=Labels(arm=arm),
                temperature=0,
                max_tokens=max_tokens,
                ignore_eos=True,
                cache_salt=f"{streams}/{arm}/{salt}/{before}",
            ):
                tokens += chunk.usage.completion_tokens if chunk.usage is not None else 0
        return tokens

    async with AsyncClient(url, model=NAME) as client:
        began = time.perf_counter()
        tokens = await asyncio.gather(*(stream(client) for _ in range(streams)))
        return Load(sum(tokens), time.perf_counter() - began)


def _times_asked(chats: Sequence[Chat]) -> Iterator[int]:
    """How often each chat was asked before."""
    asked: Counter[str] = Counter()
    for chat in chats:
        yield asked[chat.id]
        asked[chat.id] += 1
