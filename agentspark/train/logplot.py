"""A run log as plots: loss, accepted length and learning rate over the steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentspark.errors import TrainError
from agentspark.train.plotting import FIRST, FORMATS, SECOND, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_log(log: Path) -> list[Path]:
    """Draw a run log beside itself, as PNG and SVG; return the files, none for an empty log.

    After a kill a log repeats the steps since the last checkpoint; the later lines count. Raises
    ``TrainError`` where the plots cannot be written.
    """
    events = _events(log)
    steps = _by_step(events, "step")
    if not steps:
        return []
    try:
        _draw(log, steps, _by_step(events, "evaluation"))
    except OSError as error:
        raise TrainError(
            f"the plot of {log} cannot be written ({error.strerror}): free some disk and start "
            "again; the run goes on from its saved state."
        ) from error
    return [log.with_suffix(f".{kind}") for kind in FORMATS]


def _draw(log: Path, steps: Sequence[dict[str, Any]], measured: Sequence[dict[str, Any]]) -> None:
    with panels(log.with_suffix(""), 3, 3.6, 2.6) as (loss, tau, rate):
        for name, colour in (("loss", FIRST), ("l1", SECOND)):
            _line(loss, steps, name, colour)
        for name, colour in (("tau_greedy", FIRST), ("tau_sampled", SECOND)):
            _line(tau, steps, name, colour, label=f"{name[4:]}, training")
            at = [event for event in measured if event.get(name) is not None]
            tau.plot(
                [e["step"] for e in at], [e[name] for e in at], "o--", color=colour,
                markersize=4, linewidth=0.8, label=f"{name[4:]}, held out",
            )  # fmt: skip
        _line(rate, steps, "lr", FIRST)
        titles = ("loss", "accepted length", "learning rate")
        for axes, title in zip((loss, tau, rate), titles, strict=True):
            axes.set_title(title, fontsize=9)
            axes.set_xlabel("step")
        loss.legend(fontsize=7)
        tau.legend(fontsize=7)


def _events(log: Path) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    if not log.exists():
        return events
    for line in log.read_bytes().splitlines():
        try:
            event = json.loads(line)
        except ValueError:  # a line that a kill or a full disk cut off
            continue
        if isinstance(event, dict) and type(event.get("step")) is int:
            events.append(event)
    return events


def _by_step(events: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    latest = {event["step"]: event for event in events if event.get("event") == kind}
    return [latest[step] for step in sorted(latest)]


def _line(
    axes: Axes, steps: Sequence[dict[str, Any]], name: str, colour: str, label: str | None = None
) -> None:
    known = [event for event in steps if event.get(name) is not None]
    axes.plot(
        [event["step"] for event in known],
        [event[name] for event in known],
        color=colour,
        linewidth=1,
        label=label or name,
    )
