"""Masks over the vocabulary, bit by bit."""

from __future__ import annotations

from agentspark.sampling import bits


def test_an_end_is_cleared_only_where_something_else_is_left() -> None:
    rows = bits.all_allowed(3, 64)
    bits.leave(rows, 1, 31)
    bits.clear(rows, 2, (31, 2))
    allowed = bits.allowed(rows, 64)
    assert not allowed[0, 31] and not allowed[0, 2] and allowed[0].sum() == 62
    assert allowed[1].nonzero()[0].tolist() == [31]
    assert allowed[2].all()
