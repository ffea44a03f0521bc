"""From a finished request to its trace record; loads nothing heavy."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from agentspark.errors import TraceWriteError
from agentspark.trace.detail import Detail
from agentspark.trace.facts import EngineFacts
from agentspark.trace.hashing import token_hash
from agentspark.trace.record import Failure, Options, Sampling, StepRecord
from agentspark.trace.runs import split_run

if TYPE_CHECKING:
    from agentspark.engine.params import Labels, RequestOptions
    from agentspark.engine.result import Completion, Timings
    from agentspark.sampling.params import SamplingParams


def from_completion(
    completion: Completion,
    *,
    engine: EngineFacts | None = None,
    sampling: SamplingParams | None = None,
    margins: list[float] | None = None,
    detail: Detail | None = None,
    error: BaseException | None = None,
) -> StepRecord:
    """The record of a finished request.

    ``margins`` are the output tokens' where they were noted. ``error`` is why the request failed,
    where it did; its completion then holds what was known by then. Raises ``TraceWriteError``
    where a label is not what a record can hold.
    """
    try:
        return _record(
            completion, engine or EngineFacts(), sampling, margins, detail or Detail(), error
        )
    except ValidationError as problem:
        first = problem.errors()[0]
        raise TraceWriteError(
            f"The record of request {completion.request_id} cannot be made: "
            f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}. Check the labels of "
            "the request; the request itself is not affected."
        ) from problem


def _record(
    completion: Completion,
    engine: EngineFacts,
    sampling: SamplingParams | None,
    margins: list[float] | None,
    detail: Detail,
    error: BaseException | None,
) -> StepRecord:
    counts = completion.counts
    return StepRecord(
        id=uuid.uuid4().hex,
        request_id=completion.request_id,
        **_labels(completion.labels),
        model=completion.model,
        drafter=completion.drafter,
        options=_options(completion.options, engine),
        sampling=_sampling(sampling),
        started_at=datetime.fromtimestamp(completion.timings.started_at, tz=UTC),
        **_times(completion.timings),
        prompt_tokens=counts.prompt_tokens,
        cached_tokens=counts.cached_tokens,
        completion_tokens=counts.completion_tokens,
        reasoning_tokens=counts.reasoning_tokens,
        rounds=counts.rounds,
        draft_tokens=counts.draft_tokens,
        verified_tokens=counts.verified_tokens,
        accepted_tokens=counts.accepted_tokens,
        accepted_histogram=list(counts.accepted_histogram),
        cache_break_position=counts.cache_break_position,
        finish_reason=completion.finish_reason,
        prompt_hash=token_hash(completion.prompt_token_ids),
        output_hash=token_hash(completion.token_ids),
        error=None if error is None else Failure(type=type(error).__name__, message=str(error)),
        environment=engine.environment,
        prompt_token_ids=list(completion.prompt_token_ids) if detail.prompt_token_ids else None,
        output_token_ids=list(completion.token_ids) if detail.output_token_ids else None,
        output_margins=margins if detail.output_margins else None,
    )


def _labels(labels: Labels) -> dict[str, Any]:
    run, repeat = split_run(labels.run)
    return {
        "run": run,
        "repeat": repeat,
        "step": labels.step,
        "step_name": labels.step_name,
        "step_kind": labels.step_kind,
        "parent": labels.parent,
        "arm": labels.arm,
    }


def _options(options: RequestOptions, engine: EngineFacts) -> Options:
    return Options(
        speculation=options.speculation,
        verify=options.verify,
        share_prefix=options.share_prefix,
        exact=engine.exact,
        dtype=engine.dtype,
        device=engine.device,
    )


def _sampling(sampling: SamplingParams | None) -> Sampling | None:
    if sampling is None:
        return None
    return Sampling(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        max_tokens=sampling.max_tokens,
    )


def _times(timings: Timings) -> dict[str, Any]:
    parts = ("queue", "prefill", "ttft", "decode", "total")
    return {f"{part}_ms": _millis(getattr(timings, f"{part}_s")) for part in parts}


def _millis(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 3)
