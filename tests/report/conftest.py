"""Records of small runs, with times that are easy to add up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentspark.trace import Arm, StepRecord, describe_environment, token_hash
from agentspark.trace.record import Options

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NAMES = ("plan", "read a.py", "note a.py", "report")


def record(arm: str | None, step: int | None = 1, **changed: Any) -> StepRecord:
    """One call of 1000 ms in the baseline, 250 ms accelerated, with the same prompt and output."""
    fast = arm == "accelerated"
    output = changed.pop("output", [step or 0, 7, 8, 9])
    prompt = changed.pop("prompt", [step or 0] * 100)
    fields: dict[str, Any] = {
        "id": f"{arm}-{step}-{len(changed)}",
        "run": "task",
        "step": step,
        "arm": arm,
        "model": "smollm2",
        "drafter": "tiny-drafter" if fast else None,
        "options": Options(
            speculation="auto" if fast else "off",
            verify="auto",
            share_prefix=fast,
            exact=True,
            dtype="bfloat16",
            device="cpu",
        ),
        "started_at": START,
        "queue_ms": 0.0,
        "prefill_ms": 150.0 if fast else 600.0,
        "ttft_ms": 150.0 if fast else 600.0,
        "decode_ms": 100.0 if fast else 400.0,
        "total_ms": 250.0 if fast else 1000.0,
        "prompt_tokens": len(prompt),
        "cached_tokens": 80 if fast and step != 1 else 0,
        "completion_tokens": len(output),
        "rounds": 2 if fast else 3,
        "draft_tokens": 8 if fast else 0,
        "verified_tokens": 4 if fast else 0,
        "accepted_tokens": 1 if fast else 0,
        "accepted_histogram": [1, 1] if fast else [3],
        "finish_reason": "stop",
        "prompt_hash": token_hash(prompt),
        "output_hash": token_hash(output),
        "output_token_ids": output,
        "environment": describe_environment(threads=1),
    }
    return StepRecord.model_validate({**fields, **changed})


def run(
    arm: Arm, steps: int = 4, *, at_s: float = 0.0, tools_s: float = 0.5, **changed: Any
) -> list[StepRecord]:
    """Calls one after another, ``tools_s`` apart, from ``at_s`` after a fixed start."""
    records: list[StepRecord] = []
    start = START + timedelta(seconds=at_s)
    for step in range(1, steps + 1):
        name = NAMES[(step - 1) % len(NAMES)]
        labels = {"step": step, "step_name": name, "step_kind": name.split()[0]}
        made = record(arm, **{**labels, "started_at": start, **changed})
        records.append(made)
        start += timedelta(milliseconds=made.total_ms or 0.0, seconds=tools_s)
    return records


def both(repeats: Sequence[int | None] = (None,), steps: int = 4) -> list[StepRecord]:
    """Both arms, one after the other, as often as asked."""
    records: list[StepRecord] = []
    for place, repeat in enumerate(repeats):
        records += run("baseline", steps, at_s=100.0 * place, repeat=repeat)
        records += run("accelerated", steps, at_s=100.0 * place + 50.0, repeat=repeat)
    return records


@pytest.fixture(scope="session")
def make_record() -> Callable[..., StepRecord]:
    return record


@pytest.fixture(scope="session")
def make_run() -> Callable[..., list[StepRecord]]:
    return run


@pytest.fixture(scope="session")
def make_both() -> Callable[..., list[StepRecord]]:
    return both
