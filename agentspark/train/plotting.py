"""Plots as files: drawn without a display, saved as PNG and SVG."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentspark.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = ("png", "svg")
FIRST, SECOND, MUTED = "#1f6feb", "#d1570a", "#8b949e"

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#d8dee4",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
}


@contextmanager
def panels(stem: Path, count: int, width: float, height: float) -> Iterator[list[Axes]]:
    """Give ``count`` panels of ``width`` x ``height`` inches in a row; save them at the end.

    ``stem`` is the path without its ending, one file per format. ``OSError`` where they cannot be
    written.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context(_SETTINGS):
        layout = ConstrainedLayoutEngine()
        figure = Figure(figsize=(count * width, height), dpi=140, layout=layout)
        FigureCanvasAgg(figure)
        yield list(figure.subplots(1, count, squeeze=False)[0])
        # Once for all formats: it takes longer than drawing.
        layout.execute(figure)
        figure.set_layout_engine("none")
        for kind in FORMATS:
            with whole_file(stem.with_suffix(f".{kind}")) as path:
                figure.savefig(path, format=kind)
