"""Which sequences and which positions each step trains on; a pure function of the seed.

A step's choice follows from ``(seed, cursor)`` alone, so a resumed run sees exactly the data that
the run without a stop would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a run stands: the next step draws from ``position`` on in ``epoch``'s order.

    ``size`` is the number of sequences known when the epoch began (data may grow meanwhile).
    """

    step: int = 0
    epoch: int = 0
    position: int = 0
    size: int = 0


def _generator(*key: int) -> torch.Generator:
    seed = 0
    for part in key:
        seed = (seed * 1_000_003 + part + 1) % (1 << 62)
    return torch.Generator().manual_seed(seed)


def sample_anchors(start: int, size: int, count: int, generator: torch.Generator) -> Tensor:
    """Return at most ``count`` distinct anchors, sorted, of a sequence of ``size`` tokens.

    An anchor is a position from ``start`` on that has a successor to predict.
    """
    room = max(0, size - 1 - start)
    chosen = torch.randperm(room, generator=generator)[:count]
    return chosen.sort().values + start


def next_batch(cursor: Cursor, seed: int, sequences: int, known: int) -> tuple[list[int], Cursor]:
    """Return the sequence numbers of one step and the cursor after it.

    A new epoch begins, with the ``known`` sequences there are by then, where fewer than
    ``sequences`` are left; the remainder is left to later epochs' orders.
    """
    epoch, position, size = cursor.epoch, cursor.position, cursor.size
    if position + sequences > size:
        epoch, position, size = epoch + (size > 0), 0, known
    order = torch.randperm(size, generator=_generator(seed, epoch))
    chosen = order[position : position + sequences].tolist()
    return chosen, Cursor(cursor.step + 1, epoch, position + len(chosen), size)


def step_anchors(
    key: tuple[int, int, int], first: int, start: int, size: int, count: int, prompts: int
) -> Tensor:
    """Return a sequence's anchors at a step, sorted; the next visit draws others.

    ``key`` is seed, step and the sequence's number. ``count`` positions of the response, which
    begins at ``start``, and ``prompts`` of the prompt from ``first`` on, or as many as there are.
    """
    generator = _generator(*key)
    answered = sample_anchors(start, size, count, generator)
    asked = sample_anchors(first, start + 1, prompts, generator)
    return torch.cat((asked, answered))
