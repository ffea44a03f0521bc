"""One progress bar on standard error for work that takes a while."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

_COUNT = re.compile(r"(\d+)/(\d+) \[")


class _Bars(io.TextIOBase):
    """Takes the text of tqdm bars, which libraries write to standard error, and moves ours."""

    def __init__(self, progress: Progress, stream: TextIO) -> None:
        self._progress = progress
        self._stream = stream

    def write(self, text: str) -> int:
        counts = _COUNT.findall(text)
        if counts:
            done, total = counts[-1]
            for task in self._progress.task_ids:
                self._progress.update(task, completed=int(done), total=int(total))
        elif text.strip():  # a warning, say
            self._stream.write(text)
        return len(text)


@contextmanager
def progress_bar(title: str) -> Iterator[None]:
    """Show ``title``, a bar and the time while the block runs.

    Bars of libraries called in the block are folded into this one. Nothing is drawn when standard
    error is not a terminal.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    stream = sys.stderr
    console = Console(file=stream)
    with Progress(*columns, console=console, transient=True, redirect_stderr=False) as progress:
        progress.add_task(title, total=None)
        with redirect_stderr(_Bars(progress, stream)):
            yield


@contextmanager
def no_library_bars() -> Iterator[None]:
    """Keep transformers from drawing bars for work that is over in a moment."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


@contextmanager
def no_library_reports() -> Iterator[None]:
    """Keep transformers from reporting on a load; its errors are raised all the same."""
    from transformers.utils import logging

    shown = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(shown)
