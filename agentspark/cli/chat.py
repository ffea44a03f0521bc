"""``agentspark chat``: one answer, or a conversation in the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agentspark.cli.console import say
from agentspark.cli.options import (
    Device,
    Drafter,
    DtypeOption,
    Model,
    Precision,
    Source,
    Switch,
    drafter_name,
    engine_config,
)

if TYPE_CHECKING:
    from agentspark.engine.engine import Engine
    from agentspark.engine.params import RequestOptions
    from agentspark.engine.result import Completion
    from agentspark.sampling.params import SamplingParams

_LEAVE = frozenset(("/exit", "/quit"))


def chat(
    prompt: Annotated[
        str | None, typer.Argument(help="Ask this and end; without it, a conversation.")
    ] = None,
    model: Model = "smollm2",
    drafter: Drafter = "auto",
    system: Annotated[str | None, typer.Option(help="System message.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Most tokens per answer.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 takes the most likely token.")] = 0.0,
    seed: Annotated[int | None, typer.Option(help="Seed for sampling.")] = None,
    speculation: Annotated[Source, typer.Option(help="Where drafts come from.")] = Source.AUTO,
    dtype: DtypeOption = Precision.AUTO,
    device: Device = None,
) -> None:
    """Talk to a model; answers go to stdout, their figures to stderr."""
    from agentspark.engine.engine import Engine
    from agentspark.engine.params import RequestOptions
    from agentspark.errors import RequestError
    from agentspark.sampling.params import SamplingParams

    sampling = SamplingParams(max_tokens=max_tokens, temperature=temperature, seed=seed)
    options = RequestOptions(speculation=speculation.value)
    sampling.validate()
    messages = [{"role": "system", "content": system}] if system else []
    config = engine_config(exact=Switch.ON, dtype=dtype, device=device)
    with Engine.load(model, drafter=drafter_name(drafter), config=config) as engine:
        if prompt is not None:
            _answer(engine, [*messages, {"role": "user", "content": prompt}], sampling, options)
            return
        say("An empty line, /exit or Ctrl-D ends the conversation.")
        while (line := _ask()) is not None:
            turn = {"role": "user", "content": line}
            try:
                text = _answer(engine, [*messages, turn], sampling, options)
            except RequestError as error:
                say(f"not answered: {error}")
                continue
            messages += [turn, {"role": "assistant", "content": text}]


def _ask() -> str | None:
    """The next line the person types; ``None`` ends the conversation."""
    if sys.stdin.isatty():
        sys.stderr.write("> ")
        sys.stderr.flush()
    line = sys.stdin.readline().strip()
    return line if line and line not in _LEAVE else None


def _answer(
    engine: Engine,
    messages: list[dict[str, str]],
    sampling: SamplingParams,
    options: RequestOptions,
) -> str:
    """Write the answer to stdout as it comes; returns it whole."""
    text = ""
    for delta in engine.chat_stream(messages, sampling, options=options):
        sys.stdout.write(delta.text)
        sys.stdout.flush()
        text += delta.text
        if delta.completion is not None:
            sys.stdout.write("\n")
            sys.stdout.flush()
            say(_figures(delta.completion))
    return text


def _figures(completion: Completion) -> str:
    counts, timings = completion.counts, completion.timings
    parts = [f"{counts.prompt_tokens} prompt tokens ({counts.cached_tokens} cached)"]
    if timings.ttft_s is not None:
        parts.append(f"first token after {timings.ttft_s * 1000:.0f} ms")
    if timings.decode_s and counts.completion_tokens > 1:
        parts.append(f"{(counts.completion_tokens - 1) / timings.decode_s:.0f} tokens/s")
    if counts.accepted_length is not None:
        parts.append(f"{counts.accepted_length:.2f} tokens a round")
    if completion.finish_reason != "stop":
        parts.append(f"ended by {completion.finish_reason}")
    return "[" + ", ".join(parts) + "]"
