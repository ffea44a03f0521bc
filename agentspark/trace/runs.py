"""Names of runs: how a repetition is written into a run's label, and memory kept per run."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Generic, TypeVar

Value = TypeVar("Value")

# As many digits as the count of a record may have.
_REPEAT = re.compile(r"^(?P<run>.*)::r(?P<repeat>[1-9][0-9]{0,14})$", re.DOTALL)


def run_label(run: str, repeat: int) -> str:
    """The label of repetition ``repeat`` (from 1) of a run: ``"report", 2`` -> ``"report::r2"``.

    Records keep the two apart (``run`` and ``repeat``), so repetitions of one task pair up.
    """
    return f"{run}::r{repeat}"


def split_run(label: str | None) -> tuple[str | None, int | None]:
    """Undo ``run_label``; a label without a repetition gives ``(label, None)``."""
    match = _REPEAT.match(label) if isinstance(label, str) else None
    return (match["run"], int(match["repeat"])) if match else (label, None)


class RunMemory(Generic[Value]):
    """One value per run, of the runs used last: a server sees no end of runs.

    Not thread-safe; the owner locks.
    """

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._values: OrderedDict[str, Value] = OrderedDict()

    def get(self, run: str) -> Value | None:
        """The run's value, which counts as a use; ``None`` where there is none (any more)."""
        if run in self._values:
            self._values.move_to_end(run)
        return self._values.get(run)

    def put(self, run: str, value: Value) -> None:
        """Set the run's value and forget the run that was unused for longest over the limit."""
        self._values[run] = value
        self._values.move_to_end(run)
        while len(self._values) > self._limit:
            self._values.popitem(last=False)
