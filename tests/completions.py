"""Finished requests, as an engine gives them to the trace."""

from __future__ import annotations

from typing import Any

from agentspark.engine.params import Labels, RequestOptions
from agentspark.engine.result import Completion, Counts, Timings

START = 1_795_000_000.0


def completion(**changed: Any) -> Completion:
    """Seven tokens: the first from the prefill, six from three rounds that kept 0, 1 and 2."""
    fields: dict[str, Any] = {
        "request_id": "req-1",
        "model": "smollm2",
        "drafter": "smollm2-dspark",
        "prompt_token_ids": [1, 2, 3, 4, 5, 6, 7, 8],
        "token_ids": [10, 11, 12, 13, 14, 15, 16],
        "text": "hello there",
        "finish_reason": "stop",
        "counts": Counts(8, 4, 7, 3, 21, 11, 3, [1, 1, 1], 4),
        "timings": Timings(START, 0.001, 0.2, 0.201, 0.3, 0.501),
        "labels": Labels(run="task", step=2, step_name="read", step_kind="tool", arm="baseline"),
        "options": RequestOptions(),
    }
    return Completion(**{**fields, **changed})
