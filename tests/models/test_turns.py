"""Which tokens of a generated text are remembered, and for how long."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agentspark.models.turns import Saying, Turn, TurnMemory, make_turn

CONTROLS = frozenset({0})
X, Y = Saying("x"), Saying("y")


def decode(ids: Sequence[int]) -> str:
    """Token 2 spells two letters, every other one a letter of its own; controls spell nothing."""
    letters = ("", "a", "bc", "d", "e")
    return "".join(letters[index] for index in ids)


@pytest.mark.parametrize(
    ("ids", "text", "turn"),
    [
        ([1, 2, 3], "abcd", Turn((1, 2, 3), "", None)),
        ([1, 2, 3, 0], "abcd", Turn((1, 2, 3), "", 0)),
        ([1, 2, 0, 3], "abcd", Turn((1, 2), "d", 0)),
        ([1, 2, 3, 4], "abc", Turn((1, 2), "", None)),
        ([1, 2, 3, 4], "ab", Turn((1,), "b", None)),
        ([1, 2, 3, 0], "abc", Turn((1, 2), "", None)),
        ([1, 2], "xyz", None),
        ([0], "", None),
        ([], "", None),
    ],
)
def test_tokens_that_spell_the_text_are_kept(ids: list[int], text: str, turn: Turn | None) -> None:
    assert make_turn(ids, text, decode, CONTROLS) == turn


def test_the_least_recently_used_is_forgotten_first() -> None:
    memory = TurnMemory(2)
    turns = [Turn((index,), "", None) for index in range(3)]
    memory.put([1], X, turns[0])
    memory.put([2], X, turns[1])
    assert memory.get([1], X) is turns[0]
    memory.put([3], Y, turns[2])
    assert memory.get([2], X) is None
    assert memory.get([1], X) is turns[0]
    assert X in memory and Y in memory and len(memory) == 2


def test_a_text_with_no_prompt_left_is_forgotten() -> None:
    memory = TurnMemory(1)
    memory.put([1], X, Turn((1,), "", None))
    memory.put([1], X, Turn((2,), "", None))
    assert memory.get([1], X) == Turn((2,), "", None)
    memory.put([1], Y, Turn((3,), "", None))
    assert X not in memory and len(memory) == 1


@pytest.mark.parametrize("other", [Saying("x", "hm"), Saying("x", salt="b"), Saying("y")])
def test_a_turn_is_found_by_all_that_it_is(other: Saying) -> None:
    memory = TurnMemory(2)
    memory.put([1], X, Turn((1,), "", None))
    assert other not in memory and memory.get([1], other) is None
    memory.put([1], other, Turn((2,), "", None))
    assert memory.get([1], X) == Turn((1,), "", None)
    assert memory.get([1], other) == Turn((2,), "", None)
