"""What two sequences begin with alike."""

from __future__ import annotations

from typing import TypeVar

# Of one kind, so that slices of both can be compared.
Items = TypeVar("Items", list[int], str)


def common_prefix(one: Items, other: Items, start: int = 0) -> int:
    """Length of the common prefix of ``one`` and ``other[start:]``."""
    if other[start : start + len(one)] == one:
        return len(one)
    low, high = 0, min(len(one), len(other) - start)
    # Bisection over slice comparisons is far faster than a loop over items.
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[start + low : start + middle]:
            low = middle
        else:
            high = middle - 1
    return low
