"""So many streams at once: chats answered over HTTP, and how fast while all streams were busy."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from agentspark.engine.params import Labels
from agentspark.report.statistics import ratio
from agentspark.trace.record import Arm
from benchmarks.http.chats import Chat
from benchmarks.http.served import NAME
from openai_dspark import AsyncClient


@dataclass(slots=True)
class Answer:
    """What came of one answer: when each piece of text came, and its tokens in the end."""

    pieces: list[tuple[float, int]] = field(default_factory=list)
    tokens: int = 0

    def add(self, when: float, characters: int) -> None:
        """Note a piece of text."""
        self.pieces.append((when, characters))

    def tokens_by(self, moment: float) -> float:
        """The tokens that had come by then: the answer's, by the share of its text."""
        whole = sum(size for _, size in self.pieces)
        early = sum(size for when, size in self.pieces if when <= moment)
        return self.tokens * early / whole if whole else 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """All answers: they ``began``, at ``full`` a stream first had nothing to do, then the ``end``.

    Streams end at different times, as drafts are kept more often in one text than in another, and
    the fewer are left the less there is to do at once. So many streams are only those until
    ``full``.
    """

    answers: list[Answer]
    began: float
    full: float
    end: float

    @property
    def tokens_s(self) -> float | None:
        """Tokens per second while all streams were busy."""
        tokens = sum(answer.tokens_by(self.full) for answer in self.answers)
        return ratio(tokens, self.full - self.began)

    @property
    def whole_tokens_s(self) -> float | None:
        """Tokens per second until the last answer's end."""
        return ratio(sum(answer.tokens for answer in self.answers), self.end - self.began)


async def run_load(
    url: str, chats: Sequence[Chat], streams: int, arm: Arm, salt: str, max_tokens: int
) -> Load:
    """Answer all chats, ``streams`` at a time, every stream one after the other."""
    waiting = list(enumerate(chats))
    answers: list[Answer] = []
    ends: list[float] = []

    async def stream(client: AsyncClient) -> None:
        while waiting:
            number, chat = waiting.pop(0)
            answers.append(answer := Answer())
            async for chunk in client.chat_stream(
                chat.messages,
                labels=Labels(arm=arm),
                temperature=0,
                max_tokens=max_tokens,
                ignore_eos=True,
                cache_salt=f"{streams}/{arm}/{salt}/{number}",
            ):
                text = "".join(choice.delta.content or "" for choice in chunk.choices)
                answer.add(time.perf_counter(), len(text))
                answer.tokens += chunk.usage.completion_tokens if chunk.usage is not None else 0
        ends.append(time.perf_counter())

    async with AsyncClient(url, model=NAME) as client:
        began = time.perf_counter()
        await asyncio.gather(*(stream(client) for _ in range(streams)))
    return Load(answers, began, min(ends), max(ends))
