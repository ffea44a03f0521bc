"""``agentspark generate``: a file of prompts in, a file of answers with their figures out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentspark.cli.console import progress, say
from agentspark.cli.options import (
    Device,
    Drafter,
    DtypeOption,
    Exact,
    Model,
    Precision,
    Source,
    Switch,
    TraceTokens,
    drafter_name,
    engine_config,
    parse_verify,
)

if TYPE_CHECKING:
    from agentspark.cli.batch import Answer


Prompts = Annotated[
    Path,
    typer.Option(
        help='JSON Lines: {"id", "messages"} or {"id", "prompt_token_ids"}. Beside messages, '
        "tools, tool_choice, parallel_tool_calls, response_format, regex or choice; beside both, "
        "max_tokens, temperature, stop, seed and the like, which win over the options."
    ),
]
Out = Annotated[Path, typer.Option(help="JSON Lines file to write, in the prompts' order.")]
Verify = Annotated[
    str, typer.Option(help="Drafts verified a round: auto (scheduler), full or a number.")
]
IgnoreEos = Annotated[bool, typer.Option("--ignore-eos", help="Go on after the end-of-text token.")]
Trace = Annotated[
    Path | None, typer.Option(help="Trace file that gets a line per prompt; appended to.")
]


def generate(
    prompts: Prompts,
    out: Out,
    model: Model = "smollm2",
    drafter: Drafter = "auto",
    max_tokens: Annotated[int, typer.Option(help="Most tokens per answer.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 takes the most likely token.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Every prompt is sampled from it.")] = None,
    speculation: Annotated[Source, typer.Option(help="Where drafts come from.")] = Source.AUTO,
    verify: Verify = "auto",
    share_prefix: Annotated[Switch, typer.Option(help="Reuse cached prefixes.")] = Switch.ON,
    exact: Exact = Switch.ON,
    dtype: DtypeOption = Precision.AUTO,
    device: Device = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Prompts in flight at once.")] = 1,
    ignore_eos: IgnoreEos = False,
    trace: Trace = None,
    trace_tokens: TraceTokens = False,
) -> None:
    """Answer every prompt of a file and write tokens, text and figures per prompt."""
    from agentspark.cli.batch import run_batch, to_line
    from agentspark.cli.jsonl import LinesFile
    from agentspark.engine.engine import Engine
    from agentspark.engine.params import RequestOptions
    from agentspark.prompts.files import read_prompts
    from agentspark.sampling.params import SamplingParams

    sampling = SamplingParams(
        max_tokens=max_tokens, temperature=temperature, seed=seed, ignore_eos=ignore_eos
    )
    _check_out(out, prompts)
    sharing = share_prefix is Switch.ON
    options = RequestOptions(
        speculation=speculation.value, verify=parse_verify(verify), share_prefix=sharing
    )
    sampling.validate()
    options.validate()
    lines = read_prompts(prompts)
    for line in lines:
        line.asked.over(sampling)  # what cannot be served is told before anything runs
    config = engine_config(exact=exact, dtype=dtype, device=device)
    with (
        Engine.load(
            model, drafter=drafter_name(drafter), config=config, trace=trace,
            trace_tokens=trace_tokens,
        ) as engine,
        LinesFile(out) as file,
        progress() as bar,
    ):  # fmt: skip
        task = bar.add_task("generate", total=len(lines))
        started = time.perf_counter()
        answers: list[Answer] = []
        for prompt, answer in run_batch(engine, lines, sampling, options, concurrency):
            file.write(to_line(prompt, answer))
            answers.append((prompt, answer))
            bar.advance(task)
        elapsed_s = time.perf_counter() - started
    _summary(answers, elapsed_s, out)


def _check_out(out: Path, prompts: Path) -> None:
    """A usage error for an ``out`` that could not be written at the end, or had better not be."""
    if out.is_dir():
        raise typer.BadParameter(f"--out {out} is a folder: name a file in it")
    if out.exists() and prompts.exists() and out.samefile(prompts):
        raise typer.BadParameter("--out is the prompts' own file: answers would take its place")


def _summary(answers: list[Answer], elapsed_s: float, out: Path) -> None:
    """Say what was done; exit code 1 if a prompt failed."""
    from agentspark.engine.result import Completion
    from agentspark.errors import RequestError

    counts = [answer.counts for _, answer in answers if isinstance(answer, Completion)]
    tokens = sum(count.completion_tokens for count in counts)
    rounds = sum(count.rounds for count in counts)
    text = f"{len(counts)} answers, {tokens} tokens in {elapsed_s:.1f} s"
    if elapsed_s > 0:
        text += f" ({tokens / elapsed_s:.1f} tokens/s)"
    if rounds:
        text += f", accepted length {(tokens - len(counts)) / rounds:.2f}"
    say(f"{text}: {out}")
    failed = [(p, a) for p, a in answers if isinstance(a, RequestError)]
    for prompt, error in failed:
        say(f"prompt {prompt.name} failed: {error}")
    if failed:
        raise typer.Exit(1)
