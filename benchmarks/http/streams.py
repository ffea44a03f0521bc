"""Tokens per second of many streams at once over HTTP, in both arms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from pydantic import JsonValue

from agentspark.cli.arms import in_turn
from agentspark.engine.params import Labels
from agentspark.report.statistics import ratio
from agentspark.trace.record import ARMS, Arm
from benchmarks.bench import Settings
from benchmarks.http.chats import Chat, read_chats
from benchmarks.http.served import NAME, in_process
from benchmarks.measurement import Measurement
from benchmarks.progress import track
from openai_dspark import AsyncClient

STREAMS = (1, 2, 4, 8, 16)

_SCALE_BAR = 3.0
_SCALE_AT = 8


def measure(settings: Settings) -> list[Measurement]:
    """The worst ratio of the arms over all numbers of streams; and 8 streams against 1 in each.

    At every number of streams the same chats are answered, each stream one after the other.
    """
    chats = read_chats(settings)
    wanted = [chats[at % len(chats)] for at in range(max(STREAMS))]
    speeds: dict[Arm, dict[int, float | None]] = {arm: {} for arm in ARMS}
    with in_process(settings) as server:
        asyncio.run(_run(server.url, wanted[:2], 2, "accelerated", "warm-up", settings))
        for turn, streams in enumerate(track(STREAMS, "streams over HTTP")):
            for arm in in_turn(ARMS, turn):
                spent = [
                    asyncio.run(_run(server.url, wanted, streams, arm, f"{turn}/{n}", settings))
                    for n in range(settings.repeats)
                ]
                tokens, seconds = sum(t for t, _ in spent), sum(s for _, s in spent)
                speeds[arm][streams] = ratio(tokens, seconds)
    return [_arms(speeds), *(_scale(speeds, arm) for arm in ARMS)]


async def _run(
    url: str, chats: Sequence[Chat], streams: int, arm: Arm, salt: str, settings: Settings
) -> tuple[int, float]:
    """Tokens and seconds of all chats, ``streams`` at a time."""
    waiting = list(enumerate(chats))

    async def stream(client: AsyncClient) -> int:
        tokens = 0
        while waiting:
            number, chat = waiting.pop(0)
            async for chunk in client.chat_stream(
                chat.messages,
                labels=Labels(arm=arm),
                temperature=0,
                max_tokens=settings.max_tokens,
                ignore_eos=True,
                cache_salt=f"{streams}/{arm}/{salt}/{number}",
            ):
                tokens += chunk.usage.completion_tokens if chunk.usage is not None else 0
        return tokens

    async with AsyncClient(url, model=NAME) as client:
        began = time.perf_counter()
        tokens = await asyncio.gather(*(stream(client) for _ in range(streams)))
        return sum(tokens), time.perf_counter() - began


def _arms(speeds: dict[Arm, dict[int, float | None]]) -> Measurement:
    fast, slow = speeds["accelerated"], speeds["baseline"]
    ratios = {streams: ratio(fast[streams], slow[streams]) for streams in STREAMS}
    known = [value for value in ratios.values() if value is not None]
    figures: dict[str, JsonValue] = {
        str(streams): {
            "baseline_tokens_s": slow[streams],
            "accelerated_tokens_s": fast[streams],
            "ratio": ratios[streams],
        }
        for streams in STREAMS
    }
    return Measurement(
        name="streams",
        title=f"accelerated against baseline over HTTP at {', '.join(map(str, STREAMS))} streams, "
        "the worst",
        unit="x",
        value=min(known, default=None),
        bar=1.0,
        note=", ".join(f"{streams}: {ratios[streams] or 0:.2f}x" for streams in STREAMS),
        figures=figures,
    )


def _scale(speeds: dict[Arm, dict[int, float | None]], arm: Arm) -> Measurement:
    many, one = speeds[arm][_SCALE_AT], speeds[arm][1]
    return Measurement(
        name=f"scale-{arm}",
        title=f"tokens per second of {_SCALE_AT} streams against 1, {arm}",
        unit="x",
        value=ratio(many, one),
        bar=_SCALE_BAR,
        note=f"{one or 0:.1f} and {many or 0:.1f} tokens/s",
        figures={"one_tokens_s": one, "many_tokens_s": many},
    )
