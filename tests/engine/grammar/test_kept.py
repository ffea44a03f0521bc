"""What is kept of compiled grammars: the ones used last, as far as they fit."""

from __future__ import annotations

from typing import Any

from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.grammar.kept import Compiled, KeptGrammars

MATCHER: Any = object()


def choice(text: str) -> Constraint:
    return Constraint.choice([text])


def test_the_ones_used_longest_ago_go_first() -> None:
    kept = KeptGrammars(entries=2)
    for text in "ab":
        kept.keep(choice(text), Compiled(MATCHER, 1))
    assert kept.find(choice("a")) is not None
    kept.keep(choice("c"), Compiled(MATCHER, 1))
    assert [kept.find(choice(text)) is not None for text in "abc"] == [True, False, True]


def test_large_ones_leave_room_for_few() -> None:
    kept = KeptGrammars(chars=1000)
    for number in range(4):
        kept.keep(choice(f"{number}" * 290), Compiled(MATCHER, 1))
    assert len(kept) == 3
    kept.keep(choice("x" * 2000), Compiled(MATCHER, 1))
    assert len(kept) == 0
    kept.keep(choice("a"), Compiled(MATCHER, 1))
    assert kept.find(choice("a")) is not None


def test_one_that_two_threads_compiled_counts_once() -> None:
    kept = KeptGrammars(chars=1000)
    for _ in range(10):
        kept.keep(choice("a" * 300), Compiled(MATCHER, 1))
    kept.keep(choice("b" * 300), Compiled(MATCHER, 1))
    assert len(kept) == 2
