"""What a call brings, wherever it runs: pieces of an answer, the last one with its figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A piece of tool call number ``index``; ``id`` and ``name`` come with its first piece."""

    index: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Token counts and metadata of a finished call, the same wherever it ran.

    ``None`` is what a server did not say. ``metadata`` goes into the message's
    ``response_metadata`` as it is.
    """

    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """News of an answer; ``figures`` come with the last piece only."""

    content: str = ""
    reasoning: str = ""
    calls: list[CallPiece] = field(default_factory=list)
    figures: Figures | None = None


def metadata(
    *,
    model: str,
    finish_reason: str | None,
    request_id: str,
    drafter: str | None,
    speculation: dict[str, Any],
    timings: dict[str, float | None],
) -> dict[str, Any]:
    """The response metadata: model, finish reason, acceptance, times (``None`` is unknown)."""
    return {
        "model_name": model,
        "model_provider": PROVIDER,
        "finish_reason": finish_reason,
        "request_id": request_id,
        "drafter": drafter,
        "speculation": speculation,
        "timings": timings,
    }


PROVIDER = "agentspark"
