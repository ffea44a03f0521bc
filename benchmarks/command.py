"""The command line of the measurements."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from agentspark.cli.console import out as console
from agentspark.cli.console import say, say_error
from agentspark.cli.main import explain
from agentspark.cli.options import (
    Drafter,
    DtypeOption,
    Model,
    Precision,
    Switch,
    drafter_name,
    engine_config,
)
from agentspark.errors import AgentSparkError
from agentspark.trace.environment import describe_environment
from benchmarks.bench import DATA, Bench, Settings
from benchmarks.markdown import table
from benchmarks.results import RESULTS, Results, Setup, current_commit, load_average
from benchmarks.suite import MEASUREMENTS, chosen, run_suite

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def bench(
    model: Model = "smollm2",
    drafter: Drafter = "auto",
    prompts: Annotated[Path, typer.Option(help='JSON Lines: {"id", "messages"[, "kind"]}.')] = DATA
    / "prompts.jsonl",
    transcripts: Annotated[
        Path, typer.Option(help='JSON Lines: {"id", "steps": [[messages], ...]}.')
    ] = DATA / "transcripts.jsonl",
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most this many prompts and transcripts.")
    ] = None,
    only: Annotated[
        str, typer.Option(help=f"Names, separated by commas, of: {', '.join(MEASUREMENTS)}.")
    ] = "",
    repeats: Annotated[int, typer.Option(min=1, help="How often each prompt runs an arm.")] = 1,
    max_tokens: Annotated[int, typer.Option(min=2, help="Most tokens of an answer.")] = 128,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda; the GPU if there is one.")
    ] = None,
    dtype: DtypeOption = Precision.AUTO,
    families: Annotated[
        str, typer.Option(help="Drafter folders to compare, separated by commas.")
    ] = "",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = RESULTS,
) -> None:
    """Measure the engine on this machine and write down what came out."""
    names = tuple(name.strip() for name in only.split(",") if name.strip())
    settings = Settings(
        model=model,
        drafter=drafter_name(drafter),
        prompts=prompts,
        transcripts=transcripts,
        limit=limit,
        repeats=repeats,
        max_tokens=max_tokens,
        config=replace(engine_config(exact=Switch.ON, dtype=dtype), threads=threads, device=device),
        families=tuple(Path(name.strip()) for name in families.split(",") if name.strip()),
    )
    measure(settings, names, out)


def measure(settings: Settings, names: tuple[str, ...], out: Path) -> Results:
    """Run the named measurements; the files are written after each, so that none is lost."""
    wanted = chosen(names)
    load = load_average()
    with (
        tempfile.TemporaryDirectory(prefix="agentspark-bench-") as scratch,
        Bench(settings, Path(scratch) / "trace.jsonl") as work,
    ):
        results = _results(work, load)
        for done in run_suite(work, wanted):
            results.measurements.append(done)
            results.complete = len(results.measurements) == len(wanted)
            paths = results.write(out, wanted if names else ())
            say("\n".join(table([done])[2:]))
    console().print("\n".join(table(results.measurements)), markup=False, soft_wrap=True)
    console().print(f"Results: {paths[1]} and {paths[0].name}", markup=False, soft_wrap=True)
    return results


def _results(work: Bench, load: float | None) -> Results:
    import torch

    settings, engine = work.settings, work.engine
    spec = engine.target.spec
    cuda = spec.device.type == "cuda"
    return Results(
        created_at=datetime.now(UTC),
        commit=current_commit(),
        environment=describe_environment(
            threads=torch.get_num_threads(),
            accelerator=torch.cuda.get_device_name(spec.device) if cuda else None,
        ),
        load=load,
        setup=Setup(
            model=engine.target.name,
            drafter=engine.drafter_name,
            device=str(spec.device),
            dtype=engine.dtype,
            exact=engine.config.exact,
            prompts_file=settings.prompts.name,
            prompts=len(work.prompts),
            transcripts_file=settings.transcripts.name,
            transcripts=len(work.transcripts),
            repeats=settings.repeats,
            max_tokens=settings.max_tokens,
        ),
    )


def main() -> None:
    """Run the command; an expected error is one line and exit code 1."""
    try:
        app(prog_name="python -m benchmarks")
    except AgentSparkError as error:
        say_error(explain(error))
        raise SystemExit(1) from error
