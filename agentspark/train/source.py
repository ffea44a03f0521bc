"""Where a trainer gets its examples: from stored shards, or from the target itself."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from agentspark.train.features import TargetReader
from agentspark.train.responses import Response, prompt_id
from agentspark.train.rows import Example
from agentspark.train.store import Entry


class ExampleSource(Protocol):
    """Numbered sequences; more may appear at ``refresh``, numbers never change."""

    def refresh(self) -> int:
        """Look for new sequences; return how many there are."""

    def __len__(self) -> int:
        """Return how many sequences there are."""

    def entry(self, index: int) -> Entry:
        """Return what is known of a sequence without computing it."""

    def examples(self, numbers: Sequence[int]) -> list[Example]:
        """Return sequences with the target's states, in the order asked for."""


class OnlineSource:
    """Runs the target for every example: no disk, at the price of time (``--online``)."""

    def __init__(self, reader: TargetReader, responses: Sequence[Response]) -> None:
        self.reader = reader
        self.responses = responses

    def refresh(self) -> int:
        """Return the number of responses; they do not change."""
        return len(self.responses)

    def __len__(self) -> int:
        """Return the number of responses."""
        return len(self.responses)

    def entry(self, index: int) -> Entry:
        """Return a response's sizes."""
        r = self.responses[index]
        start = len(r.prompt_token_ids)
        first = 1 if self.reader.prompts else start
        return Entry(r.id, r.kind, r.temperature, start, 0, start + len(r.token_ids), 0, first)

    def examples(self, numbers: Sequence[int]) -> list[Example]:
        """Run the target over some responses, several at once."""
        some = [self.responses[i] for i in numbers]
        return self.reader.read_many(
            [([*r.prompt_token_ids, *r.token_ids], len(r.prompt_token_ids)) for r in some]
        )


@dataclass(frozen=True, slots=True)
class Split:
    """Sequence numbers to train on and to measure on."""

    train: list[int]
    held_out: list[int]


# Splits a source as far as it is known; the training part may only grow at its end.
Splitter = Callable[[ExampleSource], Split]


def is_held_out(name: str, every: int) -> bool:
    """Whether the sequence ``name`` is held out; the same in every run and for its whole prompt."""
    digest = hashlib.sha256(prompt_id(name).encode()).digest()
    return int.from_bytes(digest[:8], "big") % every == 0


def split_source(source: ExampleSource, every: int, most: int) -> Split:
    """Split a source; sequences with no more than one anchor are in neither part.

    At most ``most`` are measured on (greedy responses first); the rest of the held-out ones stay
    unused. As a source grows, the training part only grows at its end.
    """
    train: list[int] = []
    held: list[int] = []
    for index in range(len(source)):
        entry = source.entry(index)
        if entry.anchors < 2:
            continue
        (held if is_held_out(entry.id, every) else train).append(index)
    held.sort(key=lambda i: (source.entry(i).temperature > 0.0, i))
    return Split(train=train, held_out=held[:most])


def with_greedy(source: ExampleSource, numbers: Iterable[int]) -> Iterator[tuple[Example, bool]]:
    """Yield sequences one by one, each with whether its response was chosen greedily."""
    return ((source.examples([i])[0], source.entry(i).greedy) for i in numbers)
