"""The common prefix is what a loop over the items finds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentspark.common import common_prefix


@given(
    one=st.lists(st.integers(0, 1), max_size=20),
    other=st.lists(st.integers(0, 1), max_size=24),
    start=st.integers(0, 26),
)
def test_the_common_prefix_is_counted(one: list[int], other: list[int], start: int) -> None:
    expected = 0
    for ours, theirs in zip(one, other[start:], strict=False):
        if ours != theirs:
            break
        expected += 1
    assert common_prefix(one, other, start) == expected


def test_texts_have_one_too() -> None:
    assert common_prefix("spark", "sparing") == 4
