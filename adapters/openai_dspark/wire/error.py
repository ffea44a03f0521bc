"""What an error looks like."""

from __future__ import annotations

from openai_dspark.wire.body import Reply


class ErrorDetail(Reply):
    """``param`` names the parameter that is to blame, ``code`` the case."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(Reply):
    """Every response that is no success."""

    error: ErrorDetail
