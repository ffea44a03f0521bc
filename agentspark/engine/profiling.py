"""The cost table of an engine: loaded if it was measured for exactly this set-up, else measured."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from agentspark.drafting.drafter import Drafter, DraftRequest
from agentspark.dspark.costs import CostKey, CostTable, profile
from agentspark.engine.runner import FlatRows, TargetRunner
from agentspark.kv.blocks import BlockPool
from agentspark.sampling.params import SamplingParams

# No round of drafts is larger; prompts are, and cost by the row there.
MOST_ROWS = 256
_ROWS = (1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64, 128, MOST_ROWS)
_DRAFTED = (1, 2, 4, 8)
# Rounds are measured behind a context of this many tokens, an early step of an agent.
_CONTEXT = 256


@dataclass(frozen=True, slots=True)
class EngineCosts:
    """An engine's cost table and the file it lives in between runs."""

    table: CostTable
    key: CostKey
    path: Path

    @classmethod
    def load(
        cls,
        key: CostKey,
        folder: Path,
        runner: TargetRunner,
        drafter: Drafter | None,
        pool: BlockPool,
    ) -> EngineCosts:
        """The table for ``key`` from ``folder``, measured and saved there if it is missing."""
        digest = hashlib.sha256(json.dumps(asdict(key), sort_keys=True).encode()).hexdigest()
        path = folder / f"{digest[:16]}.json"
        found = CostTable.load(path, key)
        costs = cls(found or _measure(runner, drafter, pool, key.buckets), key, path)
        if found is None:
            costs.save()
        return costs

    def save(self) -> None:
        """Keep what was measured and since observed; a folder that cannot be written is no error.

        A table that was first measured on a busy machine mends itself this way.
        """
        with contextlib.suppress(OSError):
            self.table.save(self.path, self.key)


def _measure(
    runner: TargetRunner, drafter: Drafter | None, pool: BlockPool, buckets: Sequence[int]
) -> CostTable:
    available = pool.num_blocks * pool.block_tokens
    # Fewer rows than a forward computes are the same point of the curve.
    rows = sorted({runner.bucket(n) for n in _ROWS if n + 1 < available // 2})
    most = max(rows[-1], 0 if drafter is None else drafter.block_size + 1)
    context = min(_CONTEXT, available - most - 1)
    blocks = pool.allocate(-(-(context + most) // pool.block_tokens))
    try:
        return profile(
            lambda n: _forward(runner, n, context, blocks),
            rows,
            draft=None if drafter is None else lambda n: _draft(drafter, n, context, blocks),
            drafted=() if drafter is None else _DRAFTED,
            buckets=buckets,
        )
    finally:
        pool.release(blocks)


def _forward(runner: TargetRunner, count: int, context: int, blocks: list[int]) -> None:
    rows = FlatRows()
    rows.add([0] * count, context, blocks)
    rows.logit_rows = list(range(count))
    _settle(runner.forward(rows).logits)


def _draft(drafter: Drafter, count: int, context: int, blocks: list[int]) -> None:
    request = DraftRequest(0, context, blocks, SamplingParams(), None)
    drafter.propose([request] * count, drafter.usual_drafts(count))


def _settle(logits: torch.Tensor) -> None:
    """Wait for the device: reading a number back does."""
    logits[0, 0].item()
