"""``agentspark compare``: both arms of a script or of recorded traces, pair by pair."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from agentspark.cli.console import say
from agentspark.cli.options import TraceTokens

if TYPE_CHECKING:
    from agentspark.report import ArmRun
    from agentspark.trace.record import Arm

_COMMAND = "agentspark.command"


class CompareCommand(TyperCommand):
    """Keeps what follows ``--`` apart from the options: it is the command to run."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse what stands before ``--`` and put the rest aside."""
        end = args.index("--") if "--" in args else len(args)
        ctx.meta[_COMMAND] = args[end + 1 :] if end < len(args) else None
        return super().parse_args(ctx, args[:end])


def compare(
    ctx: typer.Context,
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="A trace file with both arms, or the baseline's and the other's."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the report.")] = None,
    repeats: Annotated[
        int, typer.Option(min=1, help="How often the command runs in each arm.")
    ] = 1,
    title: Annotated[str | None, typer.Option(help="Title of the report.")] = None,
    prices: Annotated[
        Path | None, typer.Option(help="Price table (TOML or JSON) for the cost figures.")
    ] = None,
    trace_tokens: TraceTokens = False,
) -> None:
    """Compare recorded traces, or run a command in both arms: agentspark compare -- python my.py

    The command runs as it is, once per arm and repetition, the arms taking turns. Its ChatDSpark
    and Engine calls learn their arm from the environment. Their traces hold the token ids of
    outputs, to tell where two of them part.
    """
    from agentspark.cli.folder import own_folder
    from agentspark.cli.reporting import show
    from agentspark.report import compare_files, compare_script
    from agentspark.trace.cost import PriceTable

    command: list[str] | None = ctx.meta[_COMMAND]
    _check(files or [], command, repeats=repeats, trace_tokens=trace_tokens)
    table = None if prices is None else PriceTable.load(prices)
    with own_folder(out, "compare") as folder:
        if command is not None:
            comparison = compare_script(
                command,
                folder,
                repeats=repeats,
                title=title,
                prices=table,
                tokens=trace_tokens,
                before_run=_before,
                after_run=_after,
            )
        else:
            first, *rest = files or []
            second = rest[0] if rest else None
            named = {} if title is None else {"title": title}
            comparison = compare_files(first, second, folder, prices=table, **named)
    show(comparison)


def _check(
    files: list[Path], command: list[str] | None, *, repeats: int, trace_tokens: bool
) -> None:
    """Refuse what does not go together."""
    if files and _is_command(files[0]):
        words = shlex.join(str(file) for file in files)
        raise typer.BadParameter(
            f"a command to run stands after '--': agentspark compare -- {words}"
        )
    if bool(files) == (command is not None) or command == [] or len(files) > 2:
        raise typer.BadParameter(
            "give one or two trace files or, after '--', the command to run in both arms"
        )
    if trace_tokens and command is None:
        raise typer.BadParameter(
            "--trace-tokens needs a command to run: traces are kept as they are"
        )
    if repeats > 1 and command is None:
        raise typer.BadParameter(
            "--repeats needs a command to run: traces hold what was repeated when they were made"
        )


def _is_command(file: Path) -> bool:
    """Whether what should be a trace file is a script or a program: the ``--`` was forgotten."""
    program = not file.exists() and shutil.which(file) is not None
    return program or file.suffix == ".py"


def _before(arm: Arm, repeat: int) -> None:
    say(f"{arm}, repetition {repeat}: running")


def _after(run: ArmRun) -> None:
    calls = len(run.trace.records)
    say(f"{run.arm}, repetition {run.repeat}: {calls} model calls in {run.seconds:.1f} s")
