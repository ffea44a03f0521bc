"""Searches bit by bit."""

from __future__ import annotations

from agentspark.engine.grammar.search import Search, Work


def counting(bits: int) -> Work[str]:
    for _ in range(bits):
        yield 3
    return "found"


def test_it_goes_on_where_it_was() -> None:
    search = Search(counting(4))
    assert search.go_on(0) == 0
    assert search.go_on(4) == 6 and not search.done and search.found is None
    assert search.go_on(100) == 6 and search.done and search.found == "found"
    assert search.go_on(100) == 0
