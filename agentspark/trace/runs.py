"""Names of runs: how a repetition is written into a run's label."""

from __future__ import annotations

import re

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
