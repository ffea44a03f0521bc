"""What HTTP adds to the time to the first token."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing

from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.report.statistics import known_median
from agentspark.sampling.params import SamplingParams
from benchmarks.bench import Settings, warm_up
from benchmarks.http.chats import Chat, read_chats
from benchmarks.http.served import NAME, in_process
from benchmarks.measurement import Measurement
from benchmarks.progress import track
from benchmarks.prompts import Prompt
from openai_dspark import Client

_BAR_MS = 5.0
_TOKENS = 4
# For a while after its last token an engine still ends its call and its threads still look for
# work, on cores that the other one's needs: whoever went second was 5 ms slower either way.
_REST_S = 0.05


def measure(settings: Settings) -> Measurement:
    """Median of (over HTTP minus in process), each prompt both ways, taking turns who is first.

    Both are taken from handing over the messages to seeing the first text. The server is a process
    of its own, as it is in use; one engine rests while the other works. Every call has a salt of
    its own, so that each computes its whole prompt.
    """
    chats = read_chats(settings)
    engine = Engine.load(settings.model, drafter=settings.drafter, config=settings.config)
    found: list[tuple[float | None, float | None]] = []
    with (
        engine,
        in_process(settings) as server,
        Client(server.url, model=NAME) as client,
    ):
        ids = engine.target.tokenizer.encode_chat(chats[0].messages)
        warm_up(engine, Prompt("warm-up", None, ids))
        _over_http(client, chats[0], "warm-up")
        rounds = [(chat, turn) for turn in range(settings.repeats) for chat in chats]
        for number, (chat, _) in enumerate(track(rounds, "first tokens")):
            ways = [
                lambda c=chat, n=number: _in_process(engine, c, f"in/{n}"),
                lambda c=chat, n=number: _over_http(client, c, f"http/{n}"),
            ]
            if number % 2:
                over, inside = ways[1](), ways[0]()
            else:
                inside, over = ways[0](), ways[1]()
            found.append((inside, over))
    # An answer may hold no text at all; its first token is not seen then.
    pairs = [(a * 1e3, b * 1e3) for a, b in found if a is not None and b is not None]
    differences = [over - inside for inside, over in pairs]
    return Measurement(
        name="ttft",
        title="time to the first token over HTTP minus in process, median",
        unit="ms",
        value=known_median(differences),
        bar=_BAR_MS,
        sense="at most",
        note=f"{known_median(inside for inside, _ in pairs) or 0:.0f} ms in process, "
        f"{len(pairs)} pairs",
        figures={
            "in_process_ms": [round(inside, 3) for inside, _ in pairs],
            "over_http_ms": [round(over, 3) for _, over in pairs],
        },
    )


def _in_process(engine: Engine, chat: Chat, salt: str) -> float | None:
    time.sleep(_REST_S)
    began = time.perf_counter()
    stream = engine.chat_stream(
        chat.messages, SamplingParams(max_tokens=_TOKENS), options=RequestOptions(cache_salt=salt)
    )
    return _first(began, (delta.text for delta in stream))


def _over_http(client: Client, chat: Chat, salt: str) -> float | None:
    time.sleep(_REST_S)
    began = time.perf_counter()
    with closing(
        client.chat_stream(chat.messages, temperature=0, max_tokens=_TOKENS, cache_salt=salt)
    ) as stream:
        texts = (c.choices[0].delta.content or "" for c in stream if c.choices)
        return _first(began, texts)


def _first(began: float, texts: Iterable[str]) -> float | None:
    """Seconds to the first text; the rest is waited for, so that calls do not overlap."""
    seconds = None
    for text in texts:
        if text and seconds is None:
            seconds = time.perf_counter() - began
    return seconds
