"""Where two rows of tokens part."""

from __future__ import annotations


def common(a: list[int], b: list[int]) -> int:
    """Tokens that ``a`` and ``b`` begin with alike."""
    length = min(len(a), len(b))
    if a[:length] == b[:length]:
        return length
    return next(i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
