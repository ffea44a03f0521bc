"""What a calibration found, beside the drafter: figures as JSON, reliability diagrams as plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentspark.dspark.beside import DIAGRAMS, REPORT_FILE
from agentspark.dspark.calibration import Reliability, mean_ece
from agentspark.files import whole_files, write_json
from agentspark.train.plotting import FIRST, MUTED, SECOND, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from agentspark.train.calibrate import Calibration

SCHEMA = 1
# A bin of fewer rounds is shown as a dot, and no line is drawn to it.
_SOLID = 10


def write_reliability(found: Calibration, folder: Path, facts: dict[str, Any]) -> list[Path]:
    """Write the report and the diagrams into the drafter's ``folder``; return their paths.

    ``facts`` say what was calibrated on what; they go into the report as they are. An error leaves
    the files that were there.
    """
    with whole_files(folder) as temporary:
        write_json(temporary / REPORT_FILE, _report(found, facts))
        stem = (temporary / DIAGRAMS[0]).with_suffix("")
        with panels(stem, len(found.before), 2.1, 2.5) as axes:
            for k, (place, before, after) in enumerate(
                zip(axes, found.before, found.after, strict=True), start=1
            ):
                _diagram(place, k, before, after)
            axes[0].set_ylabel("share that survived")
            axes[0].legend(loc="upper left", fontsize=7)
    return [folder / name for name in (REPORT_FILE, *DIAGRAMS)]


def _report(found: Calibration, facts: dict[str, Any]) -> dict[str, Any]:
    positions = [
        {
            "position": k,
            "temperature": temperature,
            "bias": bias,
            "before": asdict(before),
            "after": asdict(after),
        }
        for k, (temperature, bias, before, after) in enumerate(
            zip(
                found.temperatures.values,
                found.temperatures.biases,
                found.before,
                found.after,
                strict=True,
            ),
            start=1,
        )
    ]
    return {
        "schema": SCHEMA,
        **facts,
        "rounds_fitted_on": found.fitted_on,
        "rounds_judged_on": found.judged_on,
        "mean_ece": {"before": mean_ece(found.before), "after": mean_ece(found.after)},
        "positions": positions,
    }


def _diagram(place: Axes, position: int, before: Reliability, after: Reliability) -> None:
    place.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle="--")
    for name, judged, colour in (("before", before, SECOND), ("after", after, FIRST)):
        bins = judged.curve
        sizes = _sizes([b.count for b in bins])
        solid = [b for b in bins if b.count >= _SOLID]
        place.plot([b.estimate for b in solid], [b.rate for b in solid], color=colour, linewidth=1)
        place.scatter(
            [b.estimate for b in bins], [b.rate for b in bins], s=sizes, color=colour, label=name
        )
    errors = " / ".join("-" if r.ece is None else f"{100 * r.ece:.1f}%" for r in (before, after))
    place.set_title(f"draft {position}: ECE {errors}", fontsize=8.5)
    place.set_xlim(-0.02, 1.02)
    place.set_ylim(-0.02, 1.02)
    place.set_xlabel("estimated survival")


def _sizes(counts: Sequence[int]) -> list[float]:
    total = max(sum(counts), 1)
    return [6.0 + 120.0 * count / total for count in counts]
