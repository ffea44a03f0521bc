"""An evaluation as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.markup import escape
from rich.table import Table

from agentspark.evaluation.results import Evaluation, Score
from agentspark.printable import printable


def score_table(found: Evaluation) -> Table:
    """One row per contestant and temperature, over all prompts.

    ``Plain`` is the speed without speculation, ``Gain`` the median speed-up over it, ``Same`` how
    many outputs are the baseline's, of those that should be. Fits into 80 columns.
    """
    table = Table(
        "Drafter", "T", "Length", "Drafted", "Verified", "Wasted", "Tok/s", "Plain", "Gain",
        "Same", box=None,
    )  # fmt: skip
    for name, temperature in _rows(found):
        score = found.score(name, temperature)
        if score is not None:
            table.add_row(_plain(name), f"{temperature:g}", *_cells(score))
    return table


def positions_table(found: Evaluation) -> Table:
    """How often each draft was kept, in percent, given that all before it were.

    Whole numbers, so that a suffix source's fifteen drafts fit into 80 columns.
    """
    most = max((len(score.conditional) for score in found.scores), default=0)
    table = Table("Drafter", "T", *(str(k) for k in range(1, most + 1)), box=None)
    for name, temperature in _rows(found):
        score = found.score(name, temperature)
        if score is not None:
            shares = ["-" if s is None else f"{100 * s:.0f}" for s in score.conditional]
            table.add_row(_plain(name), f"{temperature:g}", *shares)
    return table


def lengths_table(found: Evaluation) -> Table:
    """Accepted length over all answers, and over those that ended by themselves.

    Each with its standard error, by how the prompts differ.
    """
    table = Table("Drafter", "T", "Length", "Ended", "Length of those", box=None)
    for name, temperature in _rows(found):
        score = found.score(name, temperature)
        if score is not None:
            table.add_row(
                _plain(name),
                f"{temperature:g}",
                _length(score.accepted_length, score.accepted_length_error),
                f"{score.ended}/{score.prompts}",
                _length(score.ended_accepted_length, score.ended_accepted_length_error),
            )
    return table


def kinds_table(found: Evaluation) -> Table:
    """Accepted length and speed-up by kind of prompt."""
    table = Table("Drafter", "T", *(_plain(kind) for kind in found.kinds), box=None)
    for name, temperature in _rows(found):
        scores = [found.score(name, temperature, kind) for kind in found.kinds]
        cells = [
            "-" if s is None else f"{_number(s.accepted_length)} ({_times(s.speedup)})"
            for s in scores
        ]
        table.add_row(_plain(name), f"{temperature:g}", *cells)
    return table


def _rows(found: Evaluation) -> Iterator[tuple[str, float]]:
    for temperature in found.setup.temperatures:
        for entrant in found.entrants:
            yield entrant.name, temperature


def _cells(score: Score) -> list[str]:
    same = f"{score.identical}/{score.comparable}" if score.comparable else "-"
    return [
        _number(score.accepted_length),
        f"{score.draft_tokens:,}",
        f"{score.verified_tokens:,}",
        f"{score.wasted_tokens:,}",
        _number(score.tokens_s, 1),
        _number(score.baseline_tokens_s, 1),
        _times(score.speedup),
        same,
    ]


def _number(value: float | None, places: int = 2) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def _length(value: float | None, error: float | None) -> str:
    return _number(value) if error is None else f"{_number(value)} ± {error:.2f}"


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"


def _plain(text: str) -> str:
    """A name from a file: neither markup nor control characters count."""
    return escape(printable(text))
