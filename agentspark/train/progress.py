"""How a training run shows where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

# Counts tell how far a stage is: done, of how many, and the numbers to show beside.
Advance = Callable[[float, float, dict[str, float]], None]
# Opens the display of a stage by its title.
Stage = Callable[[str], AbstractContextManager[Advance]]

_SHOWN = ("loss", "tau_greedy", "tau_sampled", "anchors_per_s")


def rich_stages(console: Console) -> Stage:
    """Return a display with a bar, the time left, and the latest numbers of a stage."""

    @contextmanager
    def stage(title: str) -> Iterator[Advance]:
        columns = (
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
            TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[numbers]}"),
        )  # fmt: skip
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(title, total=None, numbers="")

            def advance(done: float, total: float, numbers: dict[str, float]) -> None:
                text = "  ".join(f"{k} {numbers[k]:.3g}" for k in _SHOWN if k in numbers)
                progress.update(task, completed=done, total=total, numbers=text)

            yield advance

    return stage


@contextmanager
def silent_stage(title: str) -> Iterator[Advance]:
    """Show nothing."""
    yield lambda done, total, numbers: None
