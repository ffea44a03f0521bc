"""All measurements by name, in the order they run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from agentspark.errors import ConfigError
from benchmarks import (
    batch,
    branches,
    decode,
    exact,
    families,
    grammar,
    hit,
    identical,
    overhead,
    plain,
    replay,
    scheduler,
    schemas,
    shared,
)
from benchmarks.bench import Bench
from benchmarks.measurement import Measurement

MEASUREMENTS: dict[str, Callable[[Bench], Measurement]] = {
    "identical": identical.measure,
    "plain": plain.measure,
    "decode": decode.measure,
    "replay": replay.measure,
    "shared": shared.measure,
    "hit": hit.measure,
    "branches": branches.measure,
    "overhead": overhead.measure,
    "exact": exact.measure,
    "batch": batch.measure,
    "scheduler": scheduler.measure,
    "families": families.measure,
    "schemas": schemas.measure,
    "grammar": grammar.measure,
}


def chosen(names: Sequence[str]) -> tuple[str, ...]:
    """The named measurements in running order, all of them for none. ``ConfigError`` if unknown."""
    unknown = [name for name in names if name not in MEASUREMENTS]
    if unknown:
        raise ConfigError(
            f"There is no measurement {unknown[0]!r}: choose from {', '.join(MEASUREMENTS)}."
        )
    return tuple(name for name in MEASUREMENTS if not names or name in names)


def run_suite(bench: Bench, names: Sequence[str]) -> Iterator[Measurement]:
    """Run the measurements one after the other and give each as it is done."""
    for name in names:
        started = time.perf_counter()
        found = MEASUREMENTS[name](bench)
        took_ms = round((time.perf_counter() - started) * 1e3, 1)
        yield found.model_copy(update={"took_ms": took_ms})
