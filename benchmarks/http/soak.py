"""Many clients that behave badly for a while: does anything leak, hang or break?"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx
import psutil
from pydantic import JsonValue

from agentspark.report.statistics import ratio
from benchmarks.bench import Settings
from benchmarks.http.abuse import Abuser
from benchmarks.http.chats import read_chats
from benchmarks.http.served import NAME, Process, in_process
from benchmarks.measurement import Measurement
from openai_dspark import AsyncClient

CLIENTS = 16

_LIMIT_S = 120.0
_SETTLE_S = 30.0
_SAMPLE_S = 5.0
# A small pool, which the warm-up fills: its memory is the process's only once it was written.
_KV_TOKENS = 16_384
# 504 is what was asked for; the client leaves before any other error arrives.
_EXPECTED = frozenset(("ok", "400", "413", "429", "504"))


@dataclass(slots=True)
class Record:
    """What happened: ends by deed, requests that hung, memory samples ``(seconds, bytes)``."""

    ends: Counter[str] = field(default_factory=Counter)
    hung: int = 0
    memory: list[tuple[float, int]] = field(default_factory=list)


def measure(settings: Settings, minutes: float) -> list[Measurement]:
    """Leaked blocks and places, requests that hung or broke, and how much the memory grew."""
    more = ("--kv-tokens", str(_KV_TOKENS), "--queue-limit", "16", "--max-requests", "8")
    with in_process(settings, *more) as server:
        record = asyncio.run(_run(server, settings, minutes * 60))
        left = asyncio.run(_left(server.url.removesuffix("/v1")))
    bad = {end: n for end, n in record.ends.items() if end.split()[1] not in _EXPECTED}
    total = sum(record.ends.values())
    figures: dict[str, JsonValue] = {"requests": total, "ends": dict(sorted(record.ends.items()))}
    growth = _growth(record.memory)
    return [
        _count("soak-leaks", "KV blocks and sequences left after all clients have gone", left),
        _count("soak-hung", f"of {total} requests, hung for over {_LIMIT_S:g} s", record.hung),
        Measurement(
            name="soak-broken",
            title=f"of {total} requests, ended in a way nobody asked for",
            unit="requests",
            value=float(sum(bad.values())),
            bar=0.0,
            sense="at most",
            note=", ".join(f"{n} x {end}" for end, n in bad.items()),
            figures=figures,
        ),
        Measurement(
            name="soak-memory",
            title=f"growth of the server's memory after the warm-up, {minutes:g} minutes",
            unit="share",
            value=growth,
            bar=0.02,
            sense="at most",
            note=f"{record.memory[-1][1] / 2**20:.0f} MiB at the end" if record.memory else "",
            figures={"rss_mib": [round(size / 2**20, 1) for _, size in record.memory]},
        ),
    ]


async def _run(server: Process, settings: Settings, seconds: float) -> Record:
    record, chats = Record(), read_chats(settings)
    ends = time.monotonic() + seconds

    async def client(number: int) -> None:
        async with AsyncClient(server.url, model=NAME, max_retries=0, timeout=_LIMIT_S) as own:
            abuser = Abuser(own, chats, number, settings.max_tokens)
            while time.monotonic() < ends:
                try:
                    async with asyncio.timeout(_LIMIT_S):
                        deed, end = await abuser.act()
                except TimeoutError:
                    record.hung += 1
                    continue
                record.ends[f"{deed} {end}"] += 1
                if end == "429":
                    await asyncio.sleep(0.5)

    async def watch() -> None:
        process, began = psutil.Process(server.pid), time.monotonic()
        while time.monotonic() < ends:
            await asyncio.sleep(_SAMPLE_S)
            record.memory.append((time.monotonic() - began, process.memory_info().rss))

    await asyncio.gather(watch(), *(client(number) for number in range(CLIENTS)))
    return record


async def _left(root: str) -> int:
    """Sequences that still run or wait, and blocks in use that are not the cache's."""
    ends, left = time.monotonic() + _SETTLE_S, 0
    async with httpx.AsyncClient() as http:
        while True:
            gauges = _gauges((await http.get(f"{root}/metrics")).text)
            left = int(
                gauges["running"]
                + gauges["waiting"]
                + gauges["kv_blocks_used"]
                - gauges["kv_blocks_cached"]
            )
            if not left or time.monotonic() > ends:
                return left
            await asyncio.sleep(0.5)


def _gauges(text: str) -> dict[str, float]:
    lines = (line.split() for line in text.splitlines() if line.startswith("agentspark_"))
    return {words[0].removeprefix("agentspark_"): float(words[1]) for words in lines}


def _growth(samples: list[tuple[float, int]]) -> float | None:
    """The mean of the last fifth of the samples over that of the fifth after the warm-up, less 1.

    The first two fifths are the warm-up.
    """
    fifth = len(samples) // 5
    if not fifth:
        return None
    sizes = [size for _, size in samples]
    before, after = sizes[2 * fifth : 3 * fifth], sizes[-fifth:]
    change = ratio(sum(after), sum(before))
    return None if change is None else change - 1.0


def _count(name: str, title: str, count: int) -> Measurement:
    return Measurement(
        name=name,
        title=title,
        unit="requests",
        value=float(count),
        bar=0.0,
        sense="at most",
        figures={},
    )
