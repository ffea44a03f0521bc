"""The results as a Markdown page: what it ran on, one table, the figures behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import JsonValue

from benchmarks.measurement import Measurement

if TYPE_CHECKING:
    from benchmarks.results import Results

_MET = {True: "yes", False: "**no**", None: ""}
# Lists and tables longer than this stay in the JSON file.
_LONGEST = 12


def to_markdown(results: Results) -> str:
    """The whole page."""
    lines = ["# Measurements", "", *_head(results), ""]
    if not results.complete:
        lines += ["**This run was not finished: measurements are missing.**", ""]
    lines += [*table(results.measurements), "", "## Figures", ""]
    for found in results.measurements:
        lines += [f"### {found.name}", "", *_bullets(found.figures), ""]
    return "\n".join(lines).rstrip() + "\n"


def table(measurements: list[Measurement]) -> list[str]:
    """The lines of the table: what, measured, asked, met, and a note."""
    lines = ["| what | measured | asked | met | |", "| --- | --- | --- | --- | --- |"]
    for found in measurements:
        title = f"{found.name}: {found.title}"
        cells = [title, shown(found.value, found.unit), _asked(found), _MET[found.met], found.note]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def shown(value: float | None, unit: str) -> str:
    """A value in its unit, as in the table."""
    if value is None:
        return "unknown"
    if unit == "share":
        return f"{value * 100:.4g}%"
    return f"{value:.2f}x" if unit == "x" else f"{value:.1f} {unit}"


def _asked(found: Measurement) -> str:
    if found.bar is None:
        return ""
    if found.sense == "equal":
        return "equal"
    return f"{found.sense} {shown(found.bar, found.unit)}"


def _head(results: Results) -> list[str]:
    env, setup = results.environment, results.setup
    commit = "unknown"
    if results.commit is not None:
        commit = results.commit.id[:12] + (" and changes" if results.commit.changed else "")
    where = env.accelerator or env.processor or "unknown"
    load = "unknown" if results.load is None else f"{results.load:.2f}"
    exact = "on" if setup.exact else "off"
    return [
        f"- measured {results.created_at:%Y-%m-%d %H:%M %Z}, commit {commit}",
        f"- {where}, {env.cores or '?'} cores, {env.threads or '?'} threads, "
        f"load average before: {load}",
        f"- {env.system}, Python {env.python}, torch {env.torch}, "
        f"transformers {env.transformers}, agentspark {env.agentspark}",
        f"- {setup.model}, drafter {setup.drafter or 'none'}, {setup.dtype} on {setup.device}, "
        f"exact {exact}",
        f"- {setup.prompts} prompts ({setup.prompts_file}), {setup.transcripts} transcripts "
        f"({setup.transcripts_file}), {setup.max_tokens} tokens, "
        f"{setup.repeats} {'repetition' if setup.repeats == 1 else 'repetitions'}",
    ]


def _bullets(figures: dict[str, JsonValue], indent: str = "") -> list[str]:
    lines = []
    for name, value in figures.items():
        if isinstance(value, dict):
            if len(value) <= _LONGEST and value:
                lines += [f"{indent}- {name}:", *_bullets(value, indent + "  ")]
        elif not isinstance(value, list):
            lines.append(f"{indent}- {name}: {_plain(value)}")
    return lines


def _plain(value: JsonValue) -> str:
    if value is None:
        return "unknown"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
