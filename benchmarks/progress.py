"""A progress bar over the work of a measurement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from agentspark.cli.console import progress

Item = TypeVar("Item")


def track(items: Sequence[Item], label: str) -> Iterator[Item]:
    """Yield ``items``; a bar on the terminal's stderr shows how many are done."""
    with progress() as bar:
        task = bar.add_task(label, total=len(items))
        for item in items:
            yield item
            bar.advance(task)
