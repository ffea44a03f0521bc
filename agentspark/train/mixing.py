"""Old data among the new: which sequences an adaptation trains on, and how often each."""

from __future__ import annotations

import math
from collections.abc import Set as AbstractSet

from agentspark.train.source import ExampleSource, Split, is_held_out

# Of the replayed data too, one in so many is kept out of training to see what is forgotten.
REPLAY_HELD_OUT_EVERY = 20


def split_mixed(
    source: ExampleSource,
    held_out: AbstractSet[str],
    traced: AbstractSet[str],
    share: float,
    most: int,
) -> Split:
    """Split a source of traced and replayed sequences, told apart by their ids.

    ``share`` of the training sequences are replayed ones. Whichever side has too few for that
    comes several times in an epoch (each time with other anchors), so that nothing of the other
    is left out. ``held_out`` are traced ids; they alone are measured on, at most ``most`` of them
    (always the same ones; the rest stays unused).
    """
    new: list[int] = []
    old: list[int] = []
    held: list[int] = []
    for index in range(len(source)):
        entry = source.entry(index)
        if entry.anchors < 2:
            continue
        if entry.id in held_out:
            held.append(index)
        elif entry.id in traced:
            new.append(index)
        elif share > 0.0 and not is_held_out(entry.id, REPLAY_HELD_OUT_EVERY):
            old.append(index)
    held = sorted(held, key=lambda index: source.entry(index).id)[:most]
    if not new or not old:
        return Split(train=new, held_out=held)
    wanted = share / (1.0 - share)
    times_old = max(1, math.floor(wanted * len(new) / len(old) + 0.5))
    times_new = max(1, math.floor(len(old) / (wanted * len(new)) + 0.5))
    return Split(train=new * times_new + old * times_old, held_out=held)


def replay_held_out(source: ExampleSource, traced: AbstractSet[str], most: int) -> list[int]:
    """Return the numbers of at most ``most`` replayed sequences that no training saw."""
    numbers = [
        index
        for index in range(len(source))
        if (entry := source.entry(index)).anchors >= 2
        and entry.id not in traced
        and is_held_out(entry.id, REPLAY_HELD_OUT_EVERY)
    ]
    return numbers[:most]
