"""``agentspark replay``: recorded transcripts run again, in both arms, on one engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentspark.cli.arms import arm_options, in_turn, parse_arms
from agentspark.cli.console import progress
from agentspark.cli.options import (
    Device,
    Drafter,
    DtypeOption,
    Exact,
    Model,
    Precision,
    Switch,
    TraceTokens,
    drafter_name,
    engine_config,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agentspark.cli.transcripts import Transcript
    from agentspark.engine.engine import Engine
    from agentspark.sampling.params import SamplingParams
    from agentspark.trace.record import Arm


def replay(
    transcripts: Annotated[
        Path,
        typer.Argument(
            # The backslash keeps it from being read as a style.
            help='JSON Lines: {"id", "steps": [\\[messages], ...]}. Beside them tools and the like '
            "for all steps, and max_tokens, stop and the like, which win over the options."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for traces/ and the report.")],
    model: Model = "smollm2",
    drafter: Drafter = "auto",
    arms: Annotated[str, typer.Option(help="Which arms to run.")] = "baseline,accelerated",
    max_tokens: Annotated[int, typer.Option(help="Most tokens per step.")] = 128,
    exact: Exact = Switch.ON,
    dtype: DtypeOption = Precision.AUTO,
    device: Device = None,
    repeats: Annotated[int, typer.Option(min=1, help="How often each transcript runs.")] = 1,
    trace_tokens: TraceTokens = False,
) -> None:
    """Run each transcript's steps in both arms in turn and report what each step gained.

    The assistant turns of a step are those of the transcript, so both arms do the same work
    whatever the model answers. Every transcript and repetition starts with a cold cache.
    """
    from agentspark.cli.folder import own_folder
    from agentspark.cli.reporting import fresh_trace, show
    from agentspark.cli.transcripts import read_transcripts
    from agentspark.engine.engine import Engine
    from agentspark.report import compare_files
    from agentspark.sampling.params import SamplingParams
    from agentspark.trace.record import ARMS

    wanted = parse_arms(arms)
    sampling = SamplingParams(max_tokens=max_tokens)
    sampling.validate()
    work = read_transcripts(transcripts)
    for transcript in work:
        transcript.asked.over(sampling)  # what cannot be served is told before anything runs
    config = engine_config(exact=exact, dtype=dtype, device=device)
    with own_folder(out, "replay") as folder:
        trace = fresh_trace(folder, "replay.jsonl")
        with Engine.load(
            model,
            drafter=drafter_name(drafter),
            config=config,
            trace=trace,
            trace_tokens=trace_tokens,
        ) as engine:
            run_transcripts(engine, work, wanted, sampling, repeats)
        if set(wanted) == set(ARMS):
            show(compare_files(trace, None, folder, title=f"Replay of {transcripts.name}"))


def run_transcripts(
    engine: Engine,
    work: Sequence[Transcript],
    arms: tuple[Arm, ...],
    sampling: SamplingParams,
    repeats: int,
) -> None:
    """Run all steps, one call at a time; the arms take turns at every step.

    What a transcript asks for itself wins over ``sampling``.
    """
    from agentspark.engine.params import Labels
    from agentspark.trace.runs import run_label

    calls = [
        (run_label(transcript.id, repeat), number, messages, transcript.asked)
        for repeat in range(1, repeats + 1)
        for transcript in work
        for number, messages in enumerate(transcript.steps, start=1)
    ]
    with progress() as bar:
        task = bar.add_task("replay", total=len(calls) * len(arms))
        for turn, (run, number, messages, asked) in enumerate(calls):
            params = asked.over(sampling)
            for arm in in_turn(arms, turn):
                labels = Labels(run=run, step=number, arm=arm)
                # One salt for both arms: what one of them generated is rendered alike in both.
                options = arm_options(arm, cache_salt=f"replay/{run}")
                engine.chat(messages, params, chat=asked.chat, options=options, labels=labels)
                bar.advance(task)
