"""``agentspark eval``: drafters compared by real rounds on the same prompts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentspark.cli.console import out as console
from agentspark.cli.console import progress, say
from agentspark.cli.options import (
    Device,
    DtypeOption,
    Exact,
    Model,
    Precision,
    Switch,
    engine_config,
    parse_numbers,
    parse_verify,
)
from agentspark.errors import ConfigError

if TYPE_CHECKING:
    from agentspark.evaluation.results import Evaluation
    from agentspark.evaluation.run import EvalConfig


def evaluate(
    prompts: Annotated[
        list[Path],
        typer.Option(help='JSON Lines: {"id", "messages"[, "kind"]}; may be gzipped; repeatable.'),
    ],
    drafter: Annotated[
        str,
        typer.Option(
            help="Separated by commas: drafter folders (FOLDER+suffix: with copies), 'shipped', "
            "'auto' (shipped, with copies), 'suffix' (copies alone), 'none'."
        ),
    ] = "shipped,suffix,auto",
    target: Model = "smollm2",
    limit: Annotated[int | None, typer.Option(min=1, help="Most prompts.")] = None,
    max_tokens: Annotated[int, typer.Option(min=2, help="Most tokens per answer.")] = 128,
    temperatures: Annotated[str, typer.Option(help="Separated by commas; 0 is greedy.")] = "0,1",
    seed: Annotated[
        int | None, typer.Option(help="Sampled outputs become the same for all drafters.")
    ] = None,
    verify: Annotated[
        str, typer.Option(help="Drafts verified a round: full, auto (scheduler) or a number.")
    ] = "full",
    exact: Exact = Switch.ON,
    dtype: DtypeOption = Precision.AUTO,
    device: Device = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for evaluation.json, .png and .svg.")
    ] = None,
) -> None:
    """Let drafters work on real prompts: what they get accepted, and what that gains.

    Every prompt is answered without speculation too, in turn on the same engine; the drafters'
    engines run one after the other. Greedy outputs are held against the baseline's.
    """
    from agentspark.evaluation.contestants import parse_contestants
    from agentspark.evaluation.run import EvalConfig

    config = EvalConfig(
        target=target, contestants=parse_contestants(_names(drafter)), prompts=prompts,
        limit=limit, max_tokens=max_tokens, temperatures=parse_numbers(temperatures), seed=seed,
        verify=parse_verify(verify), engine=engine_config(exact=exact, dtype=dtype, device=device),
    )  # fmt: skip
    if out is not None:
        _check_out(out)
    _show(_run(config, out), out)


def _check_out(out: Path) -> None:
    """Raise ``ConfigError`` where results could not be written, before hours go into them."""
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(f"--out {out} cannot be written to: give another folder.")


def _run(config: EvalConfig, out: Path | None) -> Evaluation:
    """Run everything; what is known so far is in ``out`` after every drafter, or at least shown."""
    from agentspark.evaluation.run import evaluate as run_evaluation

    found: Evaluation | None = None
    try:
        with progress() as bar:
            task = bar.add_task("evaluate", total=None)
            for found in run_evaluation(
                config, lambda done, total: bar.update(task, completed=done, total=total)
            ):
                if out is not None:
                    found.write(out)
    except ConfigError:
        if found is not None:
            _tables(found)
        raise
    assert found is not None, "there is at least one engine"
    return found


def _show(found: Evaluation, out: Path | None) -> None:
    from agentspark.evaluation.plot import draw

    _tables(found)
    if out is not None:
        paths = draw(found, out)
        say(f"Written: {out / 'evaluation.json'}, {', '.join(path.name for path in paths)}")


def _tables(found: Evaluation) -> None:
    from agentspark.evaluation.table import (
        kinds_table,
        lengths_table,
        positions_table,
        score_table,
    )

    say("Tokens a round (accepted length), tokens and speed, against plain decoding:")
    console().print(score_table(found))
    say("\nKept drafts by position, in percent, given that all before were kept:")
    console().print(positions_table(found))
    say("\nAccepted length and its standard error; and of the answers not cut at --max-tokens:")
    console().print(lengths_table(found))
    if len(found.kinds) > 1:
        say("\nAccepted length (and speed-up) by kind:")
        console().print(kinds_table(found))
    _notes(found)


def _notes(found: Evaluation) -> None:
    for text in found.left_out:
        say(text)
    if not found.setup.exact:
        say("Exact mode is off or does not hold here: near ties may be decided differently.")
    for other in found.differences:
        say(
            f"NOT the baseline's output: {other.contestant}, prompt {other.prompt!r}, temperature "
            f"{other.temperature:g}, from token {other.position} on."
        )


def _names(value: str) -> list[str]:
    return [name.strip() for name in value.split(",") if name.strip()]
