"""What is known of the runs in one trace file: their last step, and when their last call ended."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from agentspark.recent import Recent
from agentspark.trace.fork_lock import ForkLock
from agentspark.trace.record import StepRecord
from agentspark.trace.runs import run_label

# A server sees no end of runs.
_MOST_RUNS = 4096
# A process may open a file per task without end; who holds a forgotten ledger keeps it.
_MOST_FILES = 256


class _LastCall(NamedTuple):
    arm: str | None
    ended_unix: float


class RunLedger:
    """The steps of a file's runs. Thread-safe.

    All engines of a process that write the same file share one (``of``): an agent may call
    several models in one run, and its calls are steps of that run whichever engine they go to.
    """

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._forget()

    @classmethod
    def of(cls, path: Path, *, empty: bool) -> RunLedger:
        """The ledger of a file, for the life of the process.

        ``empty`` is whether the file holds nothing. Where records were written to it before, it
        has been emptied or replaced since, and its runs begin anew, for all who hold the ledger.
        """
        name = str(path.resolve())
        with _files_lock:
            ledger = _files.get(name)
            if ledger is None:
                ledger = cls()
                _files.put(name, ledger)
            elif empty:
                ledger._begin_anew()
            return ledger

    def next_step(self, run: str, arm: str | None, step: int | None) -> int:
        """The step of a call that is submitted now: ``step``, or the run's next one, from 1."""
        # Each arm counts for itself: in one process they may take turns.
        key = f"{arm or ''}:{run}"
        with self._lock:
            last = self._steps.get(key) or 0
            number = last + 1 if step is None else step
            self._steps.put(key, max(last, number))
            return number

    def with_gap(self, record: StepRecord) -> StepRecord:
        """Enter a record that is written now; it gets the gap since its run's previous call."""
        ended = record.ended_unix
        with self._lock:
            self._written = True
            if record.run is None or ended is None:
                return record
            run = record.run if record.repeat is None else run_label(record.run, record.repeat)
            last = self._last_calls.get(run)
            if last is None or last.arm != record.arm:
                # The first call, or arms that take turns: the time between is not this arm's own.
                self._last_calls.put(run, _LastCall(record.arm, ended))
                return record
            self._last_calls.put(run, _LastCall(record.arm, max(last.ended_unix, ended)))
        if record.gap_ms is not None:
            return record
        gap_ms = round(max(0.0, record.started_unix - last.ended_unix) * 1e3, 3)
        return record.model_copy(update={"gap_ms": gap_ms})

    def _begin_anew(self) -> None:
        with self._lock:
            # Steps that were numbered before the first record are those of the new file.
            if self._written:
                self._forget()

    def _forget(self) -> None:
        self._steps: Recent[str, int] = Recent(_MOST_RUNS)
        self._last_calls: Recent[str, _LastCall] = Recent(_MOST_RUNS)
        self._written = False


_files: Recent[str, RunLedger] = Recent(_MOST_FILES)
_files_lock = ForkLock()
