"""The report as Markdown, for a pull request or a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agentspark.printable import printable
from agentspark.report.format import (
    count,
    decimal,
    duration,
    money,
    named,
    output_tokens,
    percent,
    prices_used,
    times,
)
from agentspark.report.setup import run_name
from agentspark.report.steps import MOST_ROWS, by_run
from agentspark.report.summary import StepRow, Summary


def render_markdown(summary: Summary) -> str:
    """Headline, warnings, the arms, the steps, and what it was measured on.

    Of very many steps the first ``MOST_ROWS``, and as many of what is not compared: a pull request
    takes no more.
    """
    parts = [f"# {_plain(summary.title)}", headline(summary)]
    parts += [f"> **{note.level.capitalize()}:** {_plain(note.text)}" for note in summary.notes]
    parts += ["## Arms", _arms(summary), _plain(prices_used(summary.prices))]
    for run, rows in by_run(summary.steps[:MOST_ROWS]).items():
        parts += [f"## Steps of {_plain(run_name(run))}", _steps(rows)]
    parts += _left_out(len(summary.steps), "step")
    if summary.odd:
        parts += ["## Not compared", _odd(summary), *_left_out(len(summary.odd), "call")]
    parts += ["## Measured on", _machines(summary)]
    return "\n\n".join(parts) + "\n"


def headline(summary: Summary) -> str:
    """One sentence with the numbers that matter, the same in every form of the report."""
    gain, interval = summary.speedup, summary.speedup_interval
    between = f" (95% interval {times(interval.low)} to {times(interval.high)})" if interval else ""
    counts = summary.counts
    outputs = (
        "the outputs are the same in every pair"
        if summary.outputs_identical
        else f"the outputs are the same in {counts.identical} of {named(counts.pairs, 'pair')}"
    )
    return (
        f"**Speed-up {times(gain.total)}** over {named(counts.pairs, 'paired call')}{between}: "
        f"first token {times(gain.ttft)}, decode {times(gain.decode)}; {outputs}."
    )


def _arms(summary: Summary) -> str:
    rows = [
        (
            name,
            count(arm.calls),
            f"{count(arm.prompt_tokens)} ({percent(arm.cached_share)} cached)",
            output_tokens(arm.completion_tokens, arm.reasoning_tokens),
            duration(arm.prefill_ms),
            duration(arm.decode_ms),
            duration(arm.total_ms),
            duration(arm.tools_ms),
            decimal(arm.tokens_per_second, 1),
            decimal(arm.accepted_length),
            money(arm.cost, arm.currency),
        )
        for name, arm in summary.arms.items()
    ]
    return _table(
        "Arm|Calls|Prompt tokens|Output tokens|Prefill|Decode|Model time|Tools|Tokens/s|"
        "Accepted length|Cost",
        rows,
    )


def _steps(rows: Sequence[StepRow]) -> str:
    return _table(
        "Step|Name|Prompt|Cached|Output|Baseline|Accelerated|First token|Rounds|"
        "Drafted / verified / accepted|Accepted length|Speed-up|Same output",
        [_step(row) for row in rows],
    )


def _step(row: StepRow) -> tuple[str, ...]:
    slow, fast, gain = row.baseline, row.accelerated, row.speedup
    drafts = (fast.draft_tokens, fast.verified_tokens, fast.accepted_tokens)
    between = f" ({times(gain.total_low)} to {times(gain.total_high)})" if gain.total_low else ""
    same = {True: "yes", False: "no", None: "unknown"}[row.outputs_identical]
    if row.first_divergence is not None:
        same += f", from token {row.first_divergence.position + 1}"
    return (
        str(row.step),
        row.step_name or row.step_kind or "",
        count(fast.prompt_tokens),
        percent(fast.cached_share),
        output_tokens(fast.completion_tokens, fast.reasoning_tokens),
        duration(slow.total_ms),
        duration(fast.total_ms),
        f"{duration(slow.ttft_ms)} → {duration(fast.ttft_ms)}",
        count(fast.rounds),
        " / ".join(count(number) for number in drafts),
        decimal(fast.accepted_length),
        times(gain.total) + between,
        same,
    )


def _left_out(all_: int, noun: str) -> list[str]:
    return [f"report.json has {named(all_ - MOST_ROWS, f'further {noun}')}."] * (all_ > MOST_ROWS)


def _odd(summary: Summary) -> str:
    rows = [
        (
            run_name(odd.run, odd.repeat),
            count(odd.step),
            odd.arm or "",
            odd.reason if odd.error is None else f"{odd.reason}: {odd.error.message}",
        )
        for odd in summary.odd[:MOST_ROWS]
    ]
    return _table("Run|Step|Arm|Reason", rows)


def _machines(summary: Summary) -> str:
    lines = []
    for machine in summary.environment:
        hardware = [machine.accelerator, machine.processor or "unknown processor"]
        hardware.append(None if machine.cores is None else named(machine.cores, "core"))
        software = [f"Python {machine.python}"]
        software += [
            f"{package} {version}"
            for package in ("agentspark", "torch", "transformers")
            if (version := getattr(machine, package)) is not None
        ]
        parts = (", ".join(filter(None, hardware)), machine.system, ", ".join(software))
        lines.append(f"- {_plain('; '.join(parts))}")
    lines.append(f"- from {summary.measured_from:%Y-%m-%d %H:%M:%S} UTC")
    return "\n".join(lines)


def _table(header: str, rows: Iterable[Sequence[str]]) -> str:
    titles = header.split("|")
    lines = [titles, ["---"] * len(titles), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Names from files must not end a cell or a line, nor start a tag, nor steer a terminal."""
    flat = printable(" ".join(text.split()))
    return flat.replace("|", "\\|").replace("<", "&lt;")
