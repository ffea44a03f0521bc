"""The two names that servers have for reasoning: ``reasoning_content``, and newly ``reasoning``."""

from __future__ import annotations

from typing import Any

OURS = "reasoning_content"
OTHERS = "reasoning"


def by_our_name(given: Any) -> Any:
    """A message's or a delta's fields, with reasoning that goes by the other name under ours.

    The other one stays as well, as all that a server sends beside what is known.
    """
    if not isinstance(given, dict) or given.get(OURS) is not None:
        return given
    other = given.get(OTHERS)
    return {**given, OURS: other} if isinstance(other, str) else given
