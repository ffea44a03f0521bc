"""A mark that clients of other servers set, and that every prompt here obeys without it."""

from __future__ import annotations

from typing import Literal

from openai_dspark.wire.body import Body


class CacheControl(Body):
    """Where a prefix to keep ends. Every prefix is kept anyway."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None
