"""The comparison in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from agentspark.printable import printable
from agentspark.report.format import count, decimal, duration, named, percent, short, times
from agentspark.report.setup import run_name
from agentspark.report.steps import MOST_ROWS, by_run
from agentspark.report.summary import StepRow, Summary


def print_summary(summary: Summary, console: Console) -> None:
    """The steps, the totals, and what to know before believing them."""
    console.print(step_table(summary))
    if (left_out := len(summary.steps) - MOST_ROWS) > 0:
        console.print(f"[dim]report.json has {named(left_out, 'further step')}.[/]")
    for note in summary.notes:
        colour = "yellow" if note.level == "warning" else "dim"
        console.print(f"[{colour}]{note.level.capitalize()}:[/] {_plain(note.text)}")


def step_table(summary: Summary) -> Table:
    """One row per step (of the first ``MOST_ROWS``), runs apart, and a last row for the whole."""
    table = Table(
        title=_plain(summary.title),
        title_style="bold",
        title_justify="left",
        box=None,
        header_style="dim",
        show_footer=True,
        footer_style="bold",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    slow, fast = summary.arms["baseline"], summary.arms["accelerated"]
    table.add_column("Step", count(summary.counts.steps), justify="right", no_wrap=True)
    table.add_column("Name", "all", min_width=8)
    for header, footer in (
        ("Prompt", short(fast.prompt_tokens)),
        ("Cached", percent(fast.cached_share)),
        ("Output", short(fast.completion_tokens)),
        ("Baseline", duration(slow.total_ms)),
        ("Accel.", duration(fast.total_ms)),
        ("Length", decimal(fast.accepted_length)),
        ("Speed-up", times(summary.speedup.total)),
        ("Same", _same(summary)),
    ):
        table.add_column(header, footer, justify="right", no_wrap=True)
    runs = by_run(summary.steps[:MOST_ROWS])
    for run, rows in runs.items():
        if len(runs) > 1:
            table.add_section()
            table.add_row("", f"[bold]{_plain(run_name(run))}[/]")
        for row in rows:
            table.add_row(*_cells(row))
    return table


def _same(summary: Summary) -> str:
    """In how many pairs outputs are the same; of very many, in how many not known to be."""
    same, pairs = summary.counts.identical, summary.counts.pairs
    if pairs < 1000:
        return f"{same}/{pairs}"
    return "all" if same == pairs else f"{count(pairs - same)} no"


def _cells(row: StepRow) -> tuple[str | Text, ...]:
    gain = row.speedup.total
    colour = "red" if gain is not None and gain < 1 else "green"
    same = {True: "[green]yes[/]", False: "[red]no[/]", None: "?"}[row.outputs_identical]
    return (
        str(row.step),
        # The one column that may give way to a narrow terminal.
        Text(printable(row.step_name or row.step_kind or ""), no_wrap=True, overflow="ellipsis"),
        count(row.accelerated.prompt_tokens),
        percent(row.accelerated.cached_share),
        count(row.accelerated.completion_tokens),
        duration(row.baseline.total_ms),
        duration(row.accelerated.total_ms),
        decimal(row.accelerated.accepted_length),
        f"[{colour}]{times(gain)}[/]",
        same,
    )


def _plain(text: str) -> str:
    """A text from records: neither markup nor control characters count."""
    return escape(printable(text))
