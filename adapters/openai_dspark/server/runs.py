"""Guessing which run a chat belongs to, for agents that do not say.

A step of an agent repeats the messages of the step before and adds to them, its answer first. A
chat that begins with all the messages of an earlier chat and the answer that one got therefore
belongs to that one's run; failing that, a chat that begins with the messages of an earlier chat
belongs to the newest such run; any other starts a run. Runs that start alike are repetitions of
one task and share its name, so that two arms of an agent's work pair up. Where several of these
got the same answer, as greedy ones do that work at once, each goes on once.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentspark.models.tools.call import said
from agentspark.recent import Recent
from agentspark.trace.runs import run_label

Scope = tuple[str | None, ...]
Key = tuple[Scope, bytes]

# Runs that got one answer to one chat and may still go on, at most so many.
_WAITING = 64


@dataclass(frozen=True, slots=True)
class RunGuess:
    """The run a chat was taken for. ``chat`` is the hash of its messages.

    ``first`` is whether the run begins with it, ``after`` the answer that it goes on from.
    """

    run: str
    scope: Scope
    chat: bytes
    first: bool
    after: Key | None = None


@dataclass(slots=True)
class _Given:
    """The runs that got one answer to one chat: the newest, and those that have not gone on."""

    newest: str
    waiting: list[str] = field(default_factory=list)

    def wait(self, run: str) -> None:
        if run not in self.waiting:
            self.waiting.append(run)
            del self.waiting[:-_WAITING]

    def next(self) -> str:
        return self.waiting.pop() if self.waiting else self.newest


class RunGuesser:
    """Remembers the last ``capacity`` chats, their answers and starts of runs. Thread-safe.

    A chat is kept as the hash of its messages, never as text.
    """

    def __init__(self, capacity: int = 8192) -> None:
        self._runs: Recent[Key, str] = Recent(capacity)
        self._answers: Recent[Key, _Given] = Recent(capacity)
        self._repeats: Recent[Key, int] = Recent(capacity)
        # Runs that began with a call that nobody got an answer to, oldest first.
        self._unused: Recent[Key, list[str]] = Recent(capacity)
        self._lock = threading.Lock()

    def guess(self, messages: Sequence[Mapping[str, Any]], scope: Scope) -> RunGuess:
        """The run of this chat. ``scope`` holds what sets callers and arms apart."""
        chain = _chain(messages)
        answers = [
            _answered(link, message) if message.get("role") == "assistant" else None
            for link, message in zip([b"", *chain], messages, strict=False)
        ]
        with self._lock:
            known, after = self._continued(chain, answers, scope)
            run = known or self._started(chain[-1], scope)
            self._runs.put((scope, chain[-1]), run)
        return RunGuess(run, scope, chain[-1], first=known is None, after=after)

    def answered(self, guess: RunGuess, answer: Mapping[str, Any]) -> None:
        """Note an answer, an assistant's message, to the chat of ``guess``."""
        key = (guess.scope, _answered(guess.chat, answer))
        with self._lock:
            given = self._answers.get(key) or _Given(guess.run)
            given.newest = guess.run
            given.wait(guess.run)
            self._answers.put(key, given)

    def unanswered(self, guess: RunGuess) -> None:
        """Note that a chat ended without any answer: the same one again is of the same run.

        Otherwise a call that is tried again would be one repetition more in one arm only.
        """
        with self._lock:
            if guess.first:
                key = (guess.scope, guess.chat)
                self._unused.put(key, [*(self._unused.get(key) or ()), guess.run])
            given = None if guess.after is None else self._answers.get(guess.after)
            if given is not None:
                given.wait(guess.run)

    def _continued(
        self, chain: list[bytes], answers: list[bytes | None], scope: Scope
    ) -> tuple[str | None, Key | None]:
        """The run that the chat goes on with, and the answer from which, where one is known."""
        for link, answer in zip(reversed(chain[:-1]), reversed(answers[:-1]), strict=True):
            after = None if answer is None else (scope, answer)
            given = None if after is None else self._answers.get(after)
            run = self._runs.get((scope, link)) if given is None else given.next()
            if run is not None:
                self._use(run, link, scope)
                return run, None if given is None else after
        return None, None

    def _use(self, run: str, link: bytes, scope: Scope) -> None:
        """The run goes on without its first answer: it is not to be begun again."""
        unused = self._unused.get((scope, link))
        if unused and run in unused:
            unused.remove(run)

    def _started(self, link: bytes, scope: Scope) -> str:
        unused = self._unused.get((scope, link))
        if unused:
            return unused.pop(0)
        repeat = (self._repeats.get((scope, link)) or 0) + 1
        self._repeats.put((scope, link), repeat)
        return run_label(f"auto-{link.hex()[:12]}", repeat)


def _chain(messages: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Per message, the hash of it and all before it."""
    links: list[bytes] = []
    link = b""
    for message in messages:
        link = _hash(link, json.dumps(message, sort_keys=True, default=str))
        links.append(link)
    return links


def _answered(chat: bytes, answer: Mapping[str, Any]) -> bytes:
    """The hash of a chat and its answer, the same however a client sends the answer back."""
    calls = [
        (call["function"]["name"], call["function"]["arguments"])
        for call in answer.get("tool_calls") or ()
    ]
    return _hash(chat, said(answer.get("content") or "", calls))


def _hash(link: bytes, text: str) -> bytes:
    return hashlib.blake2b(link + text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
