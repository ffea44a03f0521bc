"""Where the command talks: results go to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agentspark.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


def out() -> Console:
    """The console for results."""
    from rich.console import Console

    return Console(file=sys.stdout, highlight=False)


def err() -> Console:
    """The console for progress, notes and errors."""
    from rich.console import Console

    return Console(file=sys.stderr, highlight=False)


def say(text: str) -> None:
    """One note on stderr, without markup; control characters are shown, not obeyed."""
    err().print(printable(text), markup=False, soft_wrap=True)


def say_error(text: str) -> None:
    """One error line on stderr; text as in ``say``."""
    console = err()
    console.print("[bold red]error:[/] ", end="")
    console.print(printable(text), markup=False, soft_wrap=True)


def progress() -> Progress:
    """A progress bar on stderr that leaves nothing behind; lines where stderr is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    class Lines(Progress):
        """Says what is being done, once, where a bar cannot be drawn (a log, a service)."""

        def add_task(self, description: str, *args: Any, **fields: Any) -> TaskID:
            if self.disable:
                say(description)
            return super().add_task(description, *args, **fields)

        def update(self, task_id: TaskID, *args: Any, **fields: Any) -> None:
            if self.disable and (description := fields.get("description")):
                say(description)
            super().update(task_id, *args, **fields)

    console = err()
    return Lines(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show ``what`` on stderr while the body runs: a spinner, or a line without a terminal."""
    console = err()
    if not console.is_terminal:
        say(what)
        yield
        return
    with console.status(what):
        yield
