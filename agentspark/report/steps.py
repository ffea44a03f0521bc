"""The rows of a report: which pairs are repetitions of one step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from agentspark.report.matching import match
from agentspark.report.pairing import StepPair
from agentspark.report.summary import StepRow

# A page or a terminal with more rows is slow to show and to read; report.json has all of them.
MOST_ROWS = 300


def by_step(pairs: Iterable[StepPair]) -> list[list[StepPair]]:
    """The repetitions of each step, runs in the order they came, steps in order.

    Calls of one repetition are never repetitions of each other, even where their numbers are the
    same, as those of processes that counted apart. The calls of another repetition match those
    that came before as the arms match each other, so that branches may run in another order.
    """
    runs: dict[str | None, dict[int | None, list[StepPair]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for pair in pairs:
        runs[pair.run][pair.repeat].append(pair)
    return [row for repeats in runs.values() for row in _rows(repeats.values())]


def by_run(rows: Iterable[StepRow]) -> dict[str | None, list[StepRow]]:
    """The rows of each run, in the order given."""
    runs: dict[str | None, list[StepRow]] = defaultdict(list)
    for row in rows:
        runs[row.run].append(row)
    return dict(runs)


def _rows(repeats: Iterable[list[StepPair]]) -> list[list[StepPair]]:
    rows: list[list[StepPair]] = []
    for given in repeats:
        calls = sorted(given, key=lambda pair: pair.baseline.started_at)
        known = [(row[0].step, row[0].baseline) for row in rows]
        places = dict(match([(pair.step, pair.baseline) for pair in calls], known))
        for place, pair in enumerate(calls):
            if place in places:
                rows[places[place]].append(pair)
            else:
                rows.append([pair])
    return sorted(rows, key=lambda row: (row[0].step, row[0].baseline.started_at))
