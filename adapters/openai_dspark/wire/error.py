"""What an error looks like."""

from __future__ import annotations

from typing import Any, Literal

from openai_dspark.wire.body import Reply


class ErrorDetail(Reply):
    """``param`` names the parameter that is to blame, ``code`` the case.

    ``details`` are told to Anthropic's clients, where they act on them.
    """

    message: str
    type: str
    param: str | None
    code: str | None
    details: dict[str, Any] | None = None


class ErrorReply(Reply):
    """Every response that is no success; ``type`` is told to Anthropic's clients."""

    error: ErrorDetail
    type: Literal["error"] | None = None
