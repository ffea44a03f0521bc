"""The report's files: HTML, Markdown and JSON, each one whole or not there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentspark.errors import TraceWriteError
from agentspark.files import write_text
from agentspark.report.html import render_html
from agentspark.report.markdown import render_markdown
from agentspark.report.summarize import TITLE, summarize
from agentspark.report.summary import Note, Summary
from agentspark.trace.cost import PriceTable
from agentspark.trace.record import StepRecord


@dataclass(frozen=True, slots=True)
class ReportPaths:
    """Where the three forms of a report lie."""

    html: Path
    markdown: Path
    json: Path


def write_report(
    records: Iterable[StepRecord],
    out_dir: str | Path,
    *,
    title: str = TITLE,
    prices: PriceTable | None = None,
    notes: Sequence[Note] = (),
) -> ReportPaths:
    """Compare the arms found in ``records`` and write the report; arguments as ``summarize``.

    Raises ``PairingError`` where there is nothing to compare, and as ``write_summary`` does.
    """
    return write_summary(summarize(records, title=title, prices=prices, notes=notes), out_dir)


def write_summary(summary: Summary, out_dir: str | Path) -> ReportPaths:
    """Write ``report.html``, ``report.md`` and ``report.json`` into ``out_dir``, made if absent.

    Older ones are replaced, each at once: a reader never sees half a file. Raises
    ``TraceWriteError`` where that is not possible.
    """
    folder = Path(out_dir)
    paths = ReportPaths(folder / "report.html", folder / "report.md", folder / "report.json")
    texts = {
        paths.html: render_html(summary),
        paths.markdown: render_markdown(summary),
        paths.json: summary.model_dump_json(indent=2) + "\n",
    }
    try:
        for path, text in texts.items():
            write_text(path, text)
    except OSError as error:
        raise TraceWriteError(
            f"The report cannot be written to {folder}: {error.strerror}. Free some space or "
            "choose another folder."
        ) from error
    return paths
