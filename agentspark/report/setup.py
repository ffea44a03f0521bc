"""What the calls of an arm had in common: model, drafter, options, sampling."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from agentspark.report.summary import Setup
from agentspark.trace.record import Options, StepRecord

Value = TypeVar("Value", bound=Hashable)


def common(values: Iterable[Value]) -> Value | None:
    """The one value they all have; ``None`` where they differ or there is none."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else None


def setup_of(records: Sequence[StepRecord]) -> Setup:
    """What the records agree on, option by option."""
    return Setup(
        model=common(record.model for record in records),
        drafter=common(record.drafter for record in records),
        options=Options(
            **{
                name: common(getattr(record.options, name) for record in records)
                for name in Options.model_fields
            }
        ),
        sampling=common(record.sampling for record in records),
    )


def run_name(run: str | None, repeat: int | None = None) -> str:
    """A run as it is called in texts."""
    name = "unnamed run" if run is None else run
    return name if repeat is None else f"{name}, repetition {repeat}"
