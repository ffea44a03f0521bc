"""The trace of a comparison made here, and what is shown of one in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agentspark.cli.console import out as results
from agentspark.errors import TraceWriteError
from agentspark.printable import printable

if TYPE_CHECKING:
    from agentspark.report import Comparison


def fresh_trace(folder: Path, name: str) -> Path:
    """``folder/traces/name``, with an earlier file of that name taken away.

    A recorder appends, and records of an earlier comparison must not mix with this one's.
    """
    path = folder / "traces" / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
    except OSError as error:
        raise TraceWriteError(
            f"{path} cannot be written ({error.strerror}): choose another --out."
        ) from error
    return path


def show(comparison: Comparison) -> None:
    """The table per step, then where the reports are."""
    from agentspark.report import print_summary

    console = results()
    print_summary(comparison.summary, console)
    paths = comparison.paths
    line = f"Report: {paths.html} (also {paths.markdown.name}, {paths.json.name})"
    console.print(printable(line), markup=False, soft_wrap=True)
