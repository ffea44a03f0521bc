"""The Typer application: every command by name."""

from __future__ import annotations

from typing import Annotated

import typer

from agentspark.cli.calibrate import calibrate
from agentspark.cli.chat import chat
from agentspark.cli.compare import CompareCommand, compare
from agentspark.cli.demo import demo
from agentspark.cli.evaluate import evaluate
from agentspark.cli.export import export
from agentspark.cli.generate import generate
from agentspark.cli.pull import pull
from agentspark.cli.replay import replay
from agentspark.cli.serve import serve
from agentspark.cli.spans import spans
from agentspark.cli.train import train

app = typer.Typer(
    name="agentspark",
    help="Run an agent's model calls faster on your own machine, and see what each step gained.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from agentspark import __version__

        typer.echo(f"agentspark {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere before '--'.")
    ] = False,
) -> None:
    """Declare the options of the command as a whole; ``main`` and ``_version`` act on them."""


app.command()(demo)
app.command()(chat)
app.command()(generate)
app.command()(replay)
app.command(cls=CompareCommand)(compare)
app.command()(train)
app.command()(calibrate)
app.command("eval")(evaluate)
app.command()(export)
app.command()(pull)
app.command()(serve)
app.command()(spans)
