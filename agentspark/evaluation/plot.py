"""An evaluation as a picture: accepted length by kind, and how drafts hold along a block."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agentspark.evaluation.results import ALL_KINDS, Evaluation, not_written
from agentspark.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEM = "evaluation"
_SUFFIXES = (".png", ".svg")


def draw(found: Evaluation, folder: Path) -> list[Path]:
    """Write ``evaluation.png`` and ``evaluation.svg``, a row of plots for each temperature.

    Raises ``ConfigError`` where they cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    temperatures = found.setup.temperatures
    figure = Figure(figsize=(11.0, 3.4 * len(temperatures)), layout="constrained")
    FigureCanvasAgg(figure)
    rows = figure.subplots(len(temperatures), 2, squeeze=False, width_ratios=(3, 2))
    for (lengths, shares), temperature in zip(rows, temperatures, strict=True):
        _draw_lengths(lengths, found, temperature)
        _draw_shares(shares, found, temperature)
    handles, names = rows[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 6))
    figure.suptitle(f"Drafters of {found.setup.target}, {found.setup.prompts} prompts")
    paths = [folder / f"{STEM}{suffix}" for suffix in _SUFFIXES]
    for path in paths:
        try:
            with whole_file(path) as temporary:
                figure.savefig(temporary, format=path.suffix[1:], dpi=150)
        except OSError as error:
            raise not_written(path, error) from error
    return paths


def _draw_lengths(axes: Axes, found: Evaluation, temperature: float) -> None:
    kinds = [ALL_KINDS, *found.kinds]
    names = [entrant.name for entrant in found.entrants]
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        scores = [found.score(name, temperature, kind) for kind in kinds]
        bars = [
            (at, score.accepted_length)
            for at, score in enumerate(scores)
            if score is not None and score.accepted_length is not None
        ]
        offset = (number - (len(names) - 1) / 2) * width
        axes.bar([at + offset for at, _ in bars], [height for _, height in bars], width, label=name)
    axes.set_xticks(range(len(kinds)), kinds)
    axes.axhline(1.0, color="black", linewidth=0.7)
    axes.set_ylabel("tokens a round")
    axes.set_title(f"Accepted length, temperature {temperature:g}")


def _draw_shares(axes: Axes, found: Evaluation, temperature: float) -> None:
    from matplotlib.ticker import MaxNLocator

    for entrant in found.entrants:
        score = found.score(entrant.name, temperature)
        shares = [] if score is None else score.conditional
        known = [(k, share) for k, share in enumerate(shares, start=1) if share is not None]
        axes.plot(
            [k for k, _ in known], [share for _, share in known], marker="o", label=entrant.name
        )
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("draft")
    axes.set_ylabel("kept, given all before it were")
    axes.set_title("Acceptance along the block")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
