"""``agentspark demo``: an agent reads a folder of source code, in both arms, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentspark.cli.arms import arm_options, in_turn
from agentspark.cli.console import out as results
from agentspark.cli.console import progress, say
from agentspark.cli.extras import require
from agentspark.cli.options import (
    Device,
    Drafter,
    DtypeOption,
    Model,
    Precision,
    TraceTokens,
    drafter_name,
    dtype_name,
)
from agentspark.printable import printable
from agentspark.trace.record import ARMS

if TYPE_CHECKING:
    from agentspark.cli.code_reader import Limits
    from agentspark.trace.record import Arm
    from langchain_dspark import ChatDSpark


def demo(
    folder: Annotated[
        Path | None, typer.Argument(help="Source code to read; agentspark's own by default.")
    ] = None,
    model: Model = "smollm2",
    drafter: Drafter = "auto",
    files: Annotated[int, typer.Option(min=1, max=10, help="How many files the agent reads.")] = 6,
    out: Annotated[Path | None, typer.Option(help="Folder for traces/ and the report.")] = None,
    trace_tokens: TraceTokens = False,
    dtype: DtypeOption = Precision.AUTO,
    device: Device = None,
) -> None:
    """Let an agent read source code and report on it, with and without acceleration.

    Both arms run on one engine and take turns at every step. Their requests differ in two
    options only: drafting and shared prefixes.
    """
    require("langchain", "langchain_core", "httpx", "tenacity")
    from agentspark.cli.code_reader import Limits
    from agentspark.cli.folder import own_folder
    from agentspark.cli.reporting import fresh_trace, show
    from agentspark.config import EngineConfig
    from agentspark.report import compare_files

    source = folder or Path(__file__).parent.parent
    config = EngineConfig(dtype=dtype_name(dtype), device=device)
    with own_folder(out, "demo") as target:
        trace = fresh_trace(target, "steps.jsonl")
        say(f"An agent reads {source} with {model}, once per arm, the arms taking turns.")
        chats = {
            arm: _chat(
                arm, model=model, drafter=drafter_name(drafter), trace=str(trace),
                trace_tokens=trace_tokens, engine_config=config,
            )
            for arm in ARMS
        }  # fmt: skip
        report = run_both(source, chats, Limits(files=files))
        results().print(f"\nThe agent's report:\n{printable(report)}\n", markup=False)
        show(compare_files(trace, None, target, title=f"An agent reads {source.resolve().name}"))


def run_both(source: Path, chats: Mapping[Arm, ChatDSpark], limits: Limits) -> str:
    """Run the agent in both arms, a step at a time; returns the accelerated arm's report.

    The chats, one per arm, are closed at the end.
    """
    from agentspark.cli.code_reader import CodeReader

    try:
        readers = {
            arm: CodeReader(chat, source, run="code reader", limits=limits)
            for arm, chat in chats.items()
        }
        with progress() as bar:
            loading = bar.add_task("load the model", total=None)
            chats["baseline"].get_num_tokens("")
            bar.remove_task(loading)
            work = {arm: reader.steps() for arm, reader in readers.items()}
            steps = readers["baseline"].total
            task = bar.add_task("steps", total=steps * len(ARMS))
            for turn in range(steps):
                for arm in in_turn(ARMS, turn):
                    step = next(work[arm])
                    bar.update(
                        task, advance=1, description=f"{step.number}. {printable(step.name)}, {arm}"
                    )
            return readers["accelerated"].report
    finally:
        for chat in chats.values():
            chat.close()


def _chat(arm: Arm, **settings: Any) -> ChatDSpark:
    from langchain_dspark import ChatDSpark

    options = arm_options(arm)
    return ChatDSpark(
        speculation=options.speculation,
        share_prefix=options.share_prefix,
        metadata={"agentspark_arm": arm},
        **settings,
    )
