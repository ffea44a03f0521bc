"""What the drafter has yet to take in: committed tokens with the target's features of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch

from agentspark.drafting.drafter import ContextRows, Drafter, context_slots
from agentspark.engine.runner import RowOutputs
from agentspark.engine.sequence import Sequence

# A sequence's rows are taken in when so many wait; features of a row are a few kilobytes.
_MOST_WAITING = 256


@dataclass(slots=True)
class _Waiting:
    """Rows of one sequence that follow each other, the first at position ``first``."""

    first: int
    tokens: list[int] = field(default_factory=list)
    features: list[torch.Tensor] = field(default_factory=list)


class DrafterContext:
    """Keeps the drafter's keys and values up to the committed tokens, no sooner than needed.

    Rows wait until their sequence is drafted for, or its blocks are published or given back:
    rounds without the drafter then cost nothing for it, and many rows at once cost little more
    than one. ``seconds`` is the time that taking in has cost so far.
    """

    def __init__(self, drafter: Drafter | None, block_tokens: int) -> None:
        self._drafter = drafter
        self._block_tokens = block_tokens
        self._waiting: dict[Sequence, _Waiting] = {}
        self.seconds = 0.0

    def add(self, kept: Mapping[Sequence, int], outputs: RowOutputs) -> None:
        """Note the first rows of every sequence's segment, so many as are committed now.

        To be called before the sequences' ``computed`` moves on.
        """
        if self._drafter is None or outputs.features is None:
            return
        full = []
        for sequence, count in kept.items():
            if not sequence.uses_drafter or not count:
                continue
            first, row = sequence.computed, sequence.first_row
            known = sequence.tokens[first : first + count] + sequence.proposal.token_ids
            waiting = self._waiting.setdefault(sequence, _Waiting(first))
            waiting.tokens.extend(known[:count])
            # A copy: a view would keep the features of the whole batch for as long as it waits.
            waiting.features.append(outputs.features[row : row + count].clone())
            if len(waiting.tokens) >= _MOST_WAITING:
                full.append(sequence)
        self.flush(full)

    def flush(self, sequences: Iterable[Sequence]) -> None:
        """Let the drafter take in all that waits of these sequences, in one pass."""
        features: list[torch.Tensor] = []
        tokens: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        before: list[int] = []
        for sequence in sequences:
            waiting = self._waiting.pop(sequence, None)
            if waiting is None:
                continue
            end = waiting.first + len(waiting.tokens)
            own, leading = context_slots(sequence.blocks, waiting.first, end, self._block_tokens)
            features.extend(waiting.features)
            tokens.extend(waiting.tokens)
            positions.extend(range(waiting.first, end))
            slots.extend(own)
            before.extend(leading)
        if not features or self._drafter is None:
            return
        began = time.perf_counter()
        rows = ContextRows.of(tokens, positions, slots, before, features[0].device)
        self._drafter.append(torch.cat(features), rows)
        self.seconds += time.perf_counter() - began

    def drop(self, sequence: Sequence) -> None:
        """Forget what waits of a sequence that gives its blocks back unpublished."""
        self._waiting.pop(sequence, None)
