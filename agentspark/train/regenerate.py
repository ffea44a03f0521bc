"""The target answers the prompts itself, through the engine, many at once; a kill loses little."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from agentspark.engine.engine import Engine
from agentspark.engine.handle import Handle
from agentspark.engine.params import Labels, RequestOptions, SamplingParams
from agentspark.engine.request import Request
from agentspark.errors import AgentSparkError, RequestError, TrainError
from agentspark.train.config import DataConfig
from agentspark.train.prompts import Prompt
from agentspark.train.responses import Response, read_responses, sample_id

Progress = Callable[[int, int], None]

# Requests waiting beside those that run, so that a slot is refilled at once.
_AHEAD = 4


@dataclass(frozen=True, slots=True)
class _Job:
    """A response to be made: its id and kind, and what the engine is asked."""

    name: str
    kind: str
    temperature: float
    request: Request


def regenerate(
    engine: Engine,
    prompts: Sequence[Prompt],
    path: Path,
    config: DataConfig,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> int:
    """Append the responses that prompts do not have yet to ``path``; return how many it holds.

    Prompts that are too long, or equal to one before token for token, are left out. Prompt ``i``
    has ``config.sample_temperatures(i)``, every sample with a seed of its own, so which kill came
    when does not change what is asked. Lines come in the order of the prompts.
    """
    done = {r.id for r in read_responses(path)}
    _end_with_newline(path)
    have = len(done)
    most = len(prompts) * config.samples
    total = min(most, config.max_responses or most)
    try:
        with path.open("a", encoding="utf-8") as out:
            waiting = _jobs(engine, prompts, config, seed, done)
            for response in _run(engine, waiting, total - have):
                _append(out, response)
                have += 1
                if progress is not None:
                    progress(have, total)
    except OSError as error:
        raise TrainError(
            f"responses cannot be written to {path} ({error.strerror}): free some disk and start "
            "again; what was written is kept."
        ) from error
    return have


def _jobs(
    engine: Engine, prompts: Sequence[Prompt], config: DataConfig, seed: int, done: set[str]
) -> Iterator[_Job]:
    tokenizer, seen = engine.target.tokenizer, set[tuple[int, ...]]()
    room = engine.max_context - config.max_tokens
    for index, prompt in enumerate(prompts):
        ids = prompt.token_ids or tokenizer.encode_chat(prompt.messages or [])
        key = tuple(ids)
        if len(ids) > min(config.max_prompt_tokens, room) or key in seen:
            continue
        seen.add(key)
        for number, temperature in enumerate(config.sample_temperatures(index)):
            name = sample_id(prompt.id, number)
            if name in done:
                continue
            sampling = SamplingParams(
                max_tokens=config.max_tokens,
                temperature=temperature,
                seed=seed * 1_000_003 + index + number * 998_244_353,
            )
            request = Request(
                prompt_token_ids=ids,
                sampling=sampling,
                options=RequestOptions(share_prefix=config.samples > 1),
                labels=Labels(run="train", step_name=name),
            )
            yield _Job(name, prompt.kind, temperature, request)


def _run(engine: Engine, jobs: Iterator[_Job], most: int) -> Iterator[Response]:
    """Keep the engine full; yield responses as the oldest of those under way end."""
    room = engine.config.max_requests + _AHEAD
    under_way: deque[tuple[_Job, Handle]] = deque()
    failed = 0
    try:
        while True:
            while len(under_way) < min(room, most) and (job := next(jobs, None)) is not None:
                under_way.append((job, engine.submit(job.request)))
            if not under_way or most <= 0:
                return
            job, handle = under_way.popleft()
            try:
                completion = handle.result()
            except RequestError as error:
                failed += 1
                _too_many(failed, error)
                continue
            if completion.token_ids:
                most -= 1
                yield Response(
                    id=job.name,
                    kind=job.kind,
                    temperature=job.temperature,
                    prompt_token_ids=completion.prompt_token_ids,
                    token_ids=completion.token_ids,
                )
    finally:
        for _, handle in under_way:
            handle.cancel()


def _too_many(failed: int, error: AgentSparkError) -> None:
    if failed >= 20:
        raise TrainError(f"{failed} prompts failed, the last with: {error}") from error


def _append(out: TextIO, response: Response) -> None:
    out.write(response.to_line())
    out.flush()


def _end_with_newline(path: Path) -> None:
    """Close a last line that a kill cut off, so that the next one begins on its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb+") as handle:
        handle.seek(-1, os.SEEK_END)
        if handle.read(1) != b"\n":
            handle.write(b"\n")
