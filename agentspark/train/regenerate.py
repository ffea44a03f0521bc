"""The target answers the prompts itself, through the engine, many at once; a kill loses little."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from agentspark.engine.engine import Engine
from agentspark.engine.handle import Handle
from agentspark.errors import DataError, RequestError, TrainError
from agentspark.prompts.left_out import LeftOut
from agentspark.prompts.prompt import Prompt
from agentspark.train.answered import read_answers
from agentspark.train.config import DataConfig
from agentspark.train.jobs import Job, make_jobs
from agentspark.train.responses import Response

Progress = Callable[[int, int], None]

# Requests waiting beside those that run, so that a slot is refilled at once.
_AHEAD = 4
_MOST_FAILED = 20


def regenerate(
    engine: Engine,
    prompts: Sequence[Prompt],
    path: Path,
    config: DataConfig,
    *,
    seed: int = 0,
    left_out: LeftOut | None = None,
    progress: Progress | None = None,
) -> int:
    """Append the responses that prompts do not have yet to ``path``; return how many they have.

    Prompts that cannot be used, or are equal to one before token for token, are counted in
    ``left_out``. Prompt ``i`` has ``config.sample_temperatures(i)``, every sample with a seed of
    its own, so which kill came when does not change what is asked. Lines come in the order of the
    prompts.

    Training's engines run without exact mode, where sums depend on what is answered at the same
    time: after a kill, near ties may be decided differently and a response go on with other tokens,
    which are the target's own as well.

    Raises ``DataError`` where no prompt has a response in the end, and for responses in ``path`` by
    another target, or to another prompt under the id of one of these.
    """
    left_out = LeftOut() if left_out is None else left_out
    done = {r.id for r in read_answers(path, prompts, config, engine.fingerprint)}
    have = len(done)
    most = len(prompts) * config.samples
    total = min(most, config.max_responses or most)
    try:
        _end_with_newline(path)
        with path.open("a", encoding="utf-8") as out:
            waiting = make_jobs(engine, prompts, config, seed, done, left_out)
            for response in _run(engine, waiting, total - have, left_out):
                _append(out, response)
                have += 1
                if progress is not None:
                    progress(have, total)
    except OSError as error:
        raise TrainError(
            f"responses cannot be written to {path} ({error.strerror}): free some disk and start "
            "again; what was written is kept."
        ) from error
    if not have:
        raise DataError(f"no prompt can be answered: {' '.join(left_out.describe())}")
    return have


def _run(engine: Engine, jobs: Iterator[Job], most: int, left_out: LeftOut) -> Iterator[Response]:
    """Keep the engine full; yield responses as the oldest of those under way end."""
    room = engine.config.max_requests + _AHEAD
    under_way: deque[tuple[Job, Handle]] = deque()
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
                if failed >= _MOST_FAILED:
                    raise TrainError(f"{failed} prompts failed, the last with: {error}") from error
                left_out.add(job.prompt, "as answering failed", str(error))
                continue
            if not completion.token_ids:
                left_out.add(job.prompt, "as their answers are empty")
                continue
            most -= 1
            yield Response(
                id=job.name,
                kind=job.prompt.kind,
                temperature=job.request.sampling.temperature,
                prompt_token_ids=completion.prompt_token_ids,
                token_ids=completion.token_ids,
                target=engine.fingerprint,
                asked=job.prompt.digest,
            )
    finally:
        for _, handle in under_way:
            handle.cancel()


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
