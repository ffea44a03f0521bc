"""Guessing which run a chat belongs to, for agents that do not say.

A step of an agent repeats the messages of the step before and adds to them. A chat that begins
with all the messages of an earlier chat therefore belongs to that one's run; any other starts a
run. Runs that start alike are repetitions of one task and share its name, so that two arms of an
agent's work pair up.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from agentspark.trace.runs import run_label

Scope = tuple[str | None, ...]


class RunGuesser:
    """Remembers the last ``capacity`` chats and starts of runs. Thread-safe.

    A chat is kept as the hash of its messages, never as text.
    """

    def __init__(self, capacity: int = 8192) -> None:
        self._capacity = capacity
        self._runs: OrderedDict[tuple[Scope, bytes], str] = OrderedDict()
        self._repeats: OrderedDict[tuple[Scope, bytes], int] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, messages: Sequence[Mapping[str, Any]], scope: Scope) -> str:
        """The run of this chat. ``scope`` holds what sets callers and arms apart."""
        chain = _chain(messages)
        with self._lock:
            run = self._continued(chain, scope) or self._started(chain[-1], scope)
            self._runs[scope, chain[-1]] = run
            self._runs.move_to_end((scope, chain[-1]))
            while len(self._runs) > self._capacity:
                self._runs.popitem(last=False)
        return run

    def _continued(self, chain: list[bytes], scope: Scope) -> str | None:
        for link in reversed(chain[:-1]):
            run = self._runs.get((scope, link))
            if run is not None:
                return run
        return None

    def _started(self, link: bytes, scope: Scope) -> str:
        repeat = self._repeats.pop((scope, link), 0) + 1
        self._repeats[scope, link] = repeat
        while len(self._repeats) > self._capacity:
            self._repeats.popitem(last=False)
        return run_label(f"auto-{link.hex()[:12]}", repeat)


def _chain(messages: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Per message, the hash of it and all before it."""
    links: list[bytes] = []
    link = b""
    for message in messages:
        text = json.dumps(message, sort_keys=True, default=str).encode("utf-8", "surrogatepass")
        link = hashlib.blake2b(link + text, digest_size=16).digest()
        links.append(link)
    return links
