"""``agentspark calibrate``: make a drafter's confidence mean what it says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentspark.cli.console import out, progress, say

if TYPE_CHECKING:
    from agentspark.train.calibrate import Calibration


def calibrate(
    drafter: Annotated[Path, typer.Option(help="Drafter folder; calibration.json goes there.")],
    prompts: Annotated[
        Path, typer.Option(help="JSON Lines as for generate; not the test prompts.")
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="The drafter's target.")] = "smollm2",
    limit: Annotated[int, typer.Option(min=1, help="Most prompts.")] = 100,
    max_tokens: Annotated[int, typer.Option(min=8, help="Most tokens per prompt.")] = 64,
) -> None:
    """Fit one temperature per draft position on real rounds and save it beside the drafter."""
    from agentspark.cli.prompts import read_prompts
    from agentspark.engine.engine import Engine
    from agentspark.train.calibrate import calibrate as fit_temperatures

    lines = read_prompts(prompts)[:limit]
    with Engine.load(model, drafter=drafter) as engine, progress() as bar:
        encode = engine.target.tokenizer.encode_chat
        ids = [
            encode(line.messages) if line.messages is not None else line.token_ids or []
            for line in lines
        ]
        bar.add_task("calibrate", total=None)
        found = fit_temperatures(engine, ids, max_tokens=max_tokens)
    path = found.temperatures.save(drafter)
    out().print(_table(found))
    say(f"{found.rounds} rounds, temperatures saved: {path}")


def _table(found: Calibration) -> object:
    from rich.table import Table

    table = Table("Draft", "Temperature", "ECE before", "ECE after", "AUC", "Survives", box=None)
    rows = zip(found.temperatures.values, found.before, found.after, strict=True)
    for k, (temperature, before, after) in enumerate(rows, start=1):
        figures = (before.ece, after.ece, after.auc, after.rate)
        shown = ["-" if figure is None else f"{figure:.3f}" for figure in figures]
        table.add_row(str(k), f"{temperature:.3f}", *shown)
    return table
