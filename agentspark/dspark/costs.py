"""What a round costs here: seconds as a function of the rows of its target forward.

A table is measured once per machine and model (``profile``), kept in a file, and corrected while
the engine runs (``CostTable.observe``): context length, other load and clock speed move the curve.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from agentspark.dspark.curve import Curve
from agentspark.errors import ConfigError
from agentspark.files import write_json

SCHEMA = 3

# A size is run again for so long at most.
_ENOUGH_S = 0.5
# So long a start waits for larger sizes, which takes a large model on a CPU minutes.
_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CostKey:
    """What a measured table is valid for."""

    model: str
    device: str
    dtype: str
    threads: int
    buckets: tuple[int, ...] = ()
    drafter: str | None = None
    exact: bool = True


class CostTable:
    """Seconds of one whole round: target forward with the host's overhead, plus the draft.

    ``forward`` maps rows of the target's forward (tokens of all requests together) to seconds,
    ``draft`` the number of requests drafted in the round to the seconds of that drafting.
    ``buckets`` are the row counts the engine pads to, ascending: rows are rounded up to the next
    one before the curve is read (no padding beyond the last).
    """

    def __init__(
        self,
        forward: Mapping[int, float],
        draft: Mapping[int, float] | None = None,
        *,
        buckets: Sequence[int] = (),
    ) -> None:
        self._forward = Curve(forward)
        self._draft = Curve(draft) if draft else None
        self._buckets = sorted(buckets)

    def draft_seconds(self, drafted: int) -> float:
        """Seconds of drafting for ``drafted`` requests at once; 0 for none."""
        return self._draft.at(drafted) if self._draft is not None and drafted > 0 else 0.0

    def seconds(self, rows: int, drafted: int = 0) -> float:
        """Seconds of a round with a forward of ``rows`` tokens and ``drafted`` requests."""
        return self.computed_seconds(self.padded(rows)) + self.draft_seconds(drafted)

    def computed_seconds(self, rows: int) -> float:
        """Seconds of a forward that computes ``rows`` rows, padding included, without drafting."""
        return self._forward.at(rows)

    def padded(self, rows: int) -> int:
        """The number of rows that a forward of ``rows`` tokens computes."""
        i = bisect_left(self._buckets, rows)
        return self._buckets[i] if i < len(self._buckets) else rows

    def with_drafts(self, drafted: int) -> DraftedCost:
        """This table as the planner reads it in a round that has drafted so many requests."""
        return DraftedCost(self, self.draft_seconds(drafted))

    def observe(self, rows: int, drafted: int, seconds: float, *, rate: float = 0.05) -> None:
        """Learn from a round that took ``seconds``.

        An exponential average per point, with the surprise clipped to half of the estimate, so
        that a garbage collection or a page fault moves it by no more than ``rate / 2``.
        """
        if not (math.isfinite(seconds) and seconds > 0):
            return
        padded = self.padded(rows)
        expected = self._forward.at(padded)
        residual = seconds - self.draft_seconds(drafted) - expected
        limit = 0.5 * expected
        self._forward.shift(padded, max(-limit, min(limit, residual)), rate)

    def observe_draft(self, drafted: int, seconds: float, *, rate: float = 0.05) -> None:
        """Learn from a drafting of ``drafted`` requests that took ``seconds``."""
        if self._draft is None or drafted < 1 or not (math.isfinite(seconds) and seconds > 0):
            return
        expected = self._draft.at(drafted)
        limit = 0.5 * expected
        self._draft.shift(drafted, max(-limit, min(limit, seconds - expected)), rate)

    def save(self, path: Path, key: CostKey) -> None:
        """Write the table and what it is valid for; the file is replaced at once or not at all."""
        data = {
            "schema": SCHEMA,
            "key": asdict(key),
            "forward_ms": {str(x): y * 1e3 for x, y in self._forward.points.items()},
            "draft_ms": {str(x): y * 1e3 for x, y in self._draft.points.items()}
            if self._draft is not None
            else None,
            "buckets": self._buckets,
        }
        write_json(path, data)

    @classmethod
    def load(cls, path: Path, key: CostKey) -> CostTable | None:
        """The table saved for exactly this key, or ``None``: measure again.

        A missing, broken or foreign file is no error, it is a cache.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["schema"] != SCHEMA or data["key"] != _plain(key):
                return None
            forward = {int(x): float(y) / 1e3 for x, y in data["forward_ms"].items()}
            draft = {int(x): float(y) / 1e3 for x, y in (data["draft_ms"] or {}).items()}
            return cls(forward, draft or None, buckets=[int(b) for b in data["buckets"]])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError):
            return None


@dataclass(frozen=True, slots=True)
class DraftedCost:
    """A cost table with the draft of this round added: what ``Theta`` divides by."""

    table: CostTable
    draft_s: float

    def steps_per_second(self, rows: int) -> float:
        """Rounds per second with a forward of ``rows`` computed rows."""
        return 1.0 / (self.table.computed_seconds(rows) + self.draft_s)

    def padded(self, rows: int) -> int:
        """The number of rows that a forward of ``rows`` tokens computes."""
        return self.table.padded(rows)


def profile(
    run: Callable[[int], None],
    rows: Sequence[int],
    repeats: int = 5,
    *,
    draft: Callable[[int], None] | None = None,
    drafted: Sequence[int] = (),
    buckets: Sequence[int] = (),
    clock: Callable[[], float] = time.perf_counter,
) -> CostTable:
    """Measure a table: ``run(rows)`` is one target forward, ``draft(n)`` one drafting of ``n``.

    Both must return only when the work is done (synchronise a GPU inside). One warm-up each,
    then up to ``repeats`` turns over all sizes, so that drift meets all of them alike; the median
    of each counts. What takes long is run less often, at last by its warm-up alone; after
    ``_PATIENCE_S`` the larger numbers of ``rows`` are left to the curve.
    """
    begun, sizes = clock(), sorted(rows)
    drafts = [(draft, n) for n in drafted if draft is not None]
    jobs = [*drafts, *((run, n) for n in sizes)]
    taken: list[list[float]] = []
    for job, n in jobs:
        if len(taken) > len(drafts) and clock() - begun > _PATIENCE_S:
            break
        taken.append([_timed(job, n, clock)])
    for turn in range(repeats):
        for (job, n), times in zip(jobs, taken, strict=False):
            if turn < _turns(times[0], repeats):
                times.append(_timed(job, n, clock))
    # A warm-up counts only where it is all there is.
    medians = [statistics.median(times[1:] or times) for times in taken]
    forward = dict(zip(sizes, medians[len(drafts) :], strict=False))
    drafting = {n: seconds for (_, n), seconds in zip(drafts, medians, strict=False)}
    return CostTable(forward, drafting or None, buckets=buckets)


def _timed(job: Callable[[int], None], n: int, clock: Callable[[], float]) -> float:
    start = clock()
    job(n)
    return clock() - start


def _turns(first: float, repeats: int) -> int:
    """How often a job is run again that has taken ``first`` seconds."""
    return repeats if first * repeats <= _ENOUGH_S else int(_ENOUGH_S / first)


def _plain(key: CostKey) -> dict[str, object]:
    """The key as JSON gives it back."""
    plain: dict[str, object] = json.loads(json.dumps(asdict(key)))
    return plain
