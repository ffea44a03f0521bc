"""Tests of distributions: what may happen by chance, on a processor that rounds otherwise too."""

from __future__ import annotations

from collections.abc import Callable


def worst_of_two(p_values: Callable[[], tuple[float, ...]]) -> float:
    """The least p-value of a sample, each the better one of two samples if the first is odd.

    Of a right distribution one p-value in 100 is below 0.01; in two samples one in 10,000 is.
    """
    first = p_values()
    if min(first) > 0.01:
        return min(first)
    return min(map(max, first, p_values()))
