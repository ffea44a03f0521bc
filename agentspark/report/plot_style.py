"""How plots look: drawn by matplotlib, coloured by the page's style sheet, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Matplotlib gets stand-in colours that no plot uses otherwise; in the SVG they become references
# to the page's variables, so one drawing serves both themes.
INK = "#010a01"
MUTED = "#010a02"
LINE = "#010a03"
BASELINE = "#010a04"
ACCELERATED = "#010a05"
PREFILL = "#010a06"
DECODE = "#010a07"
QUEUE = "#010a08"
CACHED = "#010a09"
PANEL = "#010a0a"
ON_BAR = "#010a0b"

_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    BASELINE: "--baseline",
    ACCELERATED: "--accelerated",
    PREFILL: "--prefill",
    DECODE: "--decode",
    QUEUE: "--queue",
    CACHED: "--cached",
    PANEL: "--panel",
    ON_BAR: "--on-bar",
}
_STAND_IN = re.compile("|".join(_VARIABLES), re.IGNORECASE)
# What an inlined drawing must not bring along: fonts and rules of its own, names that clash.
_FOREIGN = (
    (re.compile(r"<metadata>.*?</metadata>|<style.*?</style>", re.DOTALL), ""),
    (
        re.compile(r'(<svg[^>]*?) (?:width="[^"]*" height="[^"]*"|height="[^"]*" width="[^"]*")'),
        r"\1",
    ),
    (re.compile(r"font-family: [^;\"]*;? ?"), ""),
    (re.compile(r'<g id="[^"]*"'), "<g"),
    (re.compile(r"\s*\n\s*"), " "),
)

# Left, bottom, width and height in the units of the axes.
Box = tuple[float, float, float, float]

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, sharp, in the page's font
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "text.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@contextmanager
def drawing(width: float, height: float) -> Iterator[tuple[Figure, Axes]]:
    """A figure of ``width`` x ``height`` inches with one pair of axes, in the house's style.

    The figure belongs to nobody else: no display, no global list of figures.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        yield figure, figure.subplots()


def draw_boxes(axes: Axes, boxes: Sequence[Box], **look: Any) -> None:
    """All boxes of one look, as one shape: an object for each of thousands of them is slow.

    The limits of the axes do not follow; the caller sets them.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if boxes:
        corners = [
            [(x, y), (x, y + high), (x + wide, y + high), (x + wide, y)]
            for x, y, wide, high in boxes
        ]
        # As a patch it would be asked for its limits, corner by corner.
        axes.add_artist(PathPatch(Path.make_compound_path_from_polys(np.array(corners)), **look))


def to_svg(figure: Figure, title: str) -> str:
    """The figure as an ``<svg>`` element to put into a page, labelled for screen readers."""
    import matplotlib

    sink = io.StringIO()
    # The salt makes the element names of each figure its own, and the same every time.
    with matplotlib.rc_context({"svg.hashsalt": title}):
        figure.savefig(sink, format="svg", metadata={"Date": None, "Creator": None})
    drawn = sink.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    for pattern, replacement in _FOREIGN:
        drawn = pattern.sub(replacement, drawn)
    drawn = drawn.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1)
    return _STAND_IN.sub(lambda found: f"var({_VARIABLES[found[0].lower()]})", drawn)
