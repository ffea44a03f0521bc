"""``agentspark calibrate``: make a drafter's confidence mean what it says."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentspark.cli.console import out, progress, say
from agentspark.cli.options import Device, DtypeOption, Model, Precision, Switch, engine_config
from agentspark.errors import TrainError

if TYPE_CHECKING:
    from agentspark.engine.engine import Engine
    from agentspark.prompts.prompt import Prompt
    from agentspark.train.calibrate import Calibration


def calibrate(
    drafter: Annotated[Path, typer.Option(help="Drafter folder; calibration.json goes there.")],
    prompts: Annotated[
        list[Path],
        typer.Option(help="Prompt files as for train, not the test prompts; repeatable."),
    ],
    target: Model = "smollm2",
    limit: Annotated[int, typer.Option(min=1, help="Most prompts, evenly over their kinds.")] = 160,
    max_tokens: Annotated[int, typer.Option(min=8, help="Most tokens per prompt.")] = 48,
    costs: Annotated[
        bool, typer.Option("--costs", help="Also save this machine's cost table there.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Which prompts are drawn.")] = 0,
    dtype: DtypeOption = Precision.AUTO,
    device: Device = None,
) -> None:
    """Fit a temperature and a bias per draft position on real rounds; save and judge them.

    Beside the drafter: calibration.json, which engines read, calibration-report.json with the
    figures before and after, and reliability diagrams as PNG and SVG.
    """
    if not drafter.is_dir():
        raise typer.BadParameter(
            f"--drafter {drafter} is no folder: what is found is written there, so 'auto' and "
            "'none' cannot be calibrated"
        )

    from agentspark.dspark.checkpoint import weights_digest
    from agentspark.engine.engine import Engine
    from agentspark.prompts.files import read_prompt_files
    from agentspark.prompts.spread import spread_over_kinds
    from agentspark.train.calibrate import calibrate as fit
    from agentspark.train.drafter_lock import lock_drafter

    files = read_prompt_files(prompts)
    for sentence in files.describe():
        say(sentence)
    # Every other prompt is judged on: ordered by kind, so that both halves have as many of each.
    chosen = sorted(spread_over_kinds(files.prompts, limit, seed), key=lambda prompt: prompt.kind)
    config = engine_config(exact=Switch.ON, dtype=dtype, device=device)
    with lock_drafter(drafter, "agentspark calibrate"):
        weights = weights_digest(drafter)
        with Engine.load(target, drafter=drafter, config=config) as engine, progress() as bar:
            task = bar.add_task("calibrate", total=len(chosen))
            fitting = _encoded(engine, chosen, max_tokens)
            found = fit(
                engine,
                fitting,
                max_tokens=max_tokens,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
            # What is known is shown before anything can be in the way of its being written.
            out().print(_table(found))
            say(_summary(found))
            facts = {"target": target, "prompts": len(fitting), "max_tokens": max_tokens}
            written = _write(found, drafter, weights, facts)
            if costs:
                written.append(engine.save_costs(drafter))
    say("written: " + ", ".join(str(path) for path in written))


def _write(found: Calibration, drafter: Path, weights: str, facts: dict[str, Any]) -> list[Path]:
    """Write everything beside the drafter, what makes it calibrated last; return the paths.

    ``weights`` is the digest of those that were calibrated. ``TrainError`` where they are not there
    any more, and where nothing can be written.
    """
    from agentspark.dspark.checkpoint import weights_digest
    from agentspark.train.reliability import write_reliability

    if weights_digest(drafter) != weights:
        raise TrainError(
            f"The weights in {drafter} were replaced meanwhile, and a calibration is of those that "
            "were there: start again."
        )
    try:
        shown = write_reliability(found, drafter, facts)
        return [found.temperatures.save(drafter), *shown]
    except OSError as error:
        raise TrainError(
            f"the calibration cannot be written to {drafter} ({error}): free some disk and start "
            "again. The drafter is as it was."
        ) from error


def _encoded(engine: Engine, prompts: Iterable[Prompt], room: int) -> list[list[int]]:
    """The tokens of the prompts that leave ``room`` tokens for an answer; says what is left out."""
    from agentspark.prompts.encoding import encode_prompt
    from agentspark.prompts.left_out import LeftOut

    left_out = LeftOut()
    encoded = [encode_prompt(engine, prompt, left_out, room=room) for prompt in prompts]
    for sentence in left_out.describe():
        say(sentence)
    return [ids for ids in encoded if ids is not None]


def _summary(found: Calibration) -> str:
    from agentspark.dspark.calibration import mean_ece

    before, after = (mean_ece(judged) for judged in (found.before, found.after))
    shown = [f"{100 * error:.1f}%" for error in (before, after) if error is not None]
    return (
        f"{found.rounds} rounds; calibration error of prefix survival, mean over positions: "
        f"{' before, '.join(shown)} after (fitted on {found.fitted_on} rounds, judged on "
        f"{found.judged_on} of other prompts)"
    )


def _table(found: Calibration) -> object:
    from rich.table import Table

    names = ("Draft", "Temperature", "Bias", "ECE before", "ECE after", "AUC before", "AUC after")
    table = Table(*names, "Survives", box=None)
    fitted = zip(found.temperatures.values, found.temperatures.biases, strict=True)
    rows = zip(fitted, found.before, found.after, strict=True)
    for k, ((temperature, bias), before, after) in enumerate(rows, start=1):
        figures = (before.ece, after.ece, before.auc, after.auc, after.rate)
        shown = ["-" if figure is None else f"{figure:.3f}" for figure in figures]
        table.add_row(str(k), f"{temperature:.3f}", f"{bias:.3f}", *shown)
    return table
