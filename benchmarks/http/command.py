"""The command line of the server's measurements."""

from __future__ import annotations

import time
from collections.abc import Callable
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
from agentspark.engine.precision import dtype_of
from agentspark.errors import AgentSparkError
from agentspark.trace.environment import describe_environment
from benchmarks.bench import DATA, Settings
from benchmarks.http import soak, streams, ttft
from benchmarks.http.chats import read_chats
from benchmarks.markdown import table
from benchmarks.measurement import Measurement
from benchmarks.results import RESULTS, Results, Setup, current_commit, load_average

NAMES = ("ttft", "streams", "fuzz", "soak")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def http(
    model: Model = "smollm2",
    drafter: Drafter = "auto",
    prompts: Annotated[Path, typer.Option(help='JSON Lines: {"id", "messages"}.')] = DATA
    / "prompts.jsonl",
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many prompts.")] = None,
    only: Annotated[str, typer.Option(help=f"Of {', '.join(NAMES)}, with commas.")] = "",
    repeats: Annotated[int, typer.Option(min=1, help="How often each prompt runs.")] = 1,
    max_tokens: Annotated[int, typer.Option(min=2, help="Most tokens of an answer.")] = 64,
    dtype: DtypeOption = Precision.AUTO,
    minutes: Annotated[float, typer.Option(min=0.05, help="How long the soak takes.")] = 30.0,
    requests: Annotated[int, typer.Option(min=10, help="How many requests fuzz makes.")] = 5000,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = RESULTS,
) -> None:
    """Measure the server: what HTTP costs, many streams, random requests, bad clients."""
    names = tuple(name.strip() for name in only.split(",") if name.strip()) or NAMES
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of: {', '.join(NAMES)}")
    settings = Settings(
        model=model,
        drafter=drafter_name(drafter),
        prompts=prompts,
        limit=limit,
        repeats=repeats,
        max_tokens=max_tokens,
        config=engine_config(exact=Switch.ON, dtype=dtype),
    )
    measure(settings, names, out, minutes=minutes, requests=requests)


def measure(
    settings: Settings, names: tuple[str, ...], out: Path, *, minutes: float, requests: int
) -> Results:
    """Run the named measurements; the files are written after each, so that none is lost."""
    results = _results(settings)
    wanted = [name for name in NAMES if name in names]
    for name in wanted:
        began = time.perf_counter()
        found = _RUNS[name](settings, minutes, requests)
        took_ms = round((time.perf_counter() - began) * 1e3, 1)
        results.measurements += [one.model_copy(update={"took_ms": took_ms}) for one in found]
        results.complete = name == wanted[-1]
        paths = results.write(out, ("http", *(() if names == NAMES else wanted)))
        say("\n".join(table(found)[2:]))
    console().print("\n".join(table(results.measurements)), markup=False, soft_wrap=True)
    console().print(f"Results: {paths[1]} and {paths[0].name}", markup=False, soft_wrap=True)
    return results


def _fuzz(settings: Settings, _minutes: float, requests: int) -> list[Measurement]:
    # Its library is for development only.
    from benchmarks.http import fuzz

    return [fuzz.measure(settings, requests)]


_RUNS: dict[str, Callable[[Settings, float, int], list[Measurement]]] = {
    "ttft": lambda settings, _minutes, _requests: [ttft.measure(settings)],
    "streams": lambda settings, _minutes, _requests: streams.measure(settings),
    "fuzz": _fuzz,
    "soak": lambda settings, minutes, _requests: soak.measure(settings, minutes),
}


def _results(settings: Settings) -> Results:
    import torch

    cuda = torch.cuda.is_available()
    return Results(
        created_at=datetime.now(UTC),
        commit=current_commit(),
        environment=describe_environment(
            threads=torch.get_num_threads(),
            accelerator=torch.cuda.get_device_name() if cuda else None,
        ),
        load=load_average(),
        setup=Setup(
            model=str(settings.model),
            drafter=None if settings.drafter is None else str(settings.drafter),
            device="cuda" if cuda else "cpu",
            dtype=dtype_of(settings.config),
            exact=settings.config.exact,
            prompts_file=settings.prompts.name,
            prompts=len(read_chats(settings)),
            transcripts_file="",
            transcripts=0,
            repeats=settings.repeats,
            max_tokens=settings.max_tokens,
        ),
    )


def main() -> None:
    """Run the command; an expected error is one line and exit code 1."""
    try:
        app(prog_name="python -m benchmarks.http")
    except AgentSparkError as error:
        say_error(explain(error))
        raise SystemExit(1) from error
