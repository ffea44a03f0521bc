"""Matching two lists of calls of a run: which call of the one answers which of the other."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Sequence

from agentspark.trace.record import StepRecord

# A call and its step number, which a record may lack.
Numbered = tuple[int, StepRecord]


def _asked(record: StepRecord) -> Hashable:
    """Who was asked for what; ``None`` where the prompt is not known."""
    if record.prompt_hash is None:
        return None
    return record.model, record.step_name, record.prompt_hash


def _seed(record: StepRecord) -> int | None:
    return None if record.sampling is None else record.sampling.seed


# Tried in this order, each on what the ones before it left over; a key of None never matches.
_KEYS: tuple[Callable[[int, StepRecord], Hashable], ...] = (
    lambda step, record: (step, _asked(record), _seed(record)),
    lambda step, record: (step, _asked(record)),
    lambda step, record: _asked(record),
    lambda step, record: (step, record.prompt_hash),
    lambda step, record: record.prompt_hash,
    lambda step, record: step,
)


def match(left: Sequence[Numbered], right: Sequence[Numbered]) -> list[tuple[int, int]]:
    """Pairs of places ``(in left, in right)``, each place at most once.

    Calls match by step number with model, name, prompt and seed (the choices of one call differ in
    nothing else), then without the seed, then without the number (branches that ran in another
    order), then by prompts without model and name, and at last by number alone.
    """
    found: list[tuple[int, int]] = []
    ours, theirs = list(range(len(left))), list(range(len(right)))
    for key in _KEYS:
        waiting: dict[Hashable, deque[int]] = defaultdict(deque)
        for place in theirs:
            waiting[key(*right[place])].append(place)
        for place in ours:
            wanted = key(*left[place])
            if wanted is not None and waiting[wanted]:
                found.append((place, waiting[wanted].popleft()))
        taken, given = ({pair[side] for pair in found} for side in (0, 1))
        ours = [place for place in ours if place not in taken]
        theirs = [place for place in theirs if place not in given]
    return found
