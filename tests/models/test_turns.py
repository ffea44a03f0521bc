"""Which tokens of a generated text are remembered, and for how long."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from agentspark.models.turns import Turn, TurnMemory, make_turn

CONTROLS = frozenset({0})


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
    memory.put([1], "x", turns[0])
    memory.put([2], "x", turns[1])
    assert memory.get([1], "x") is turns[0]
    memory.put([3], "y", turns[2])
    assert memory.get([2], "x") is None
    assert memory.get([1], "x") is turns[0]
    assert "x" in memory and "y" in memory and len(memory) == 2


def test_a_text_with_no_prompt_left_is_forgotten() -> None:
    memory = TurnMemory(1)
    memory.put([1], "x", Turn((1,), "", None))
    memory.put([1], "x", Turn((2,), "", None))
    assert memory.get([1], "x") == Turn((2,), "", None)
    memory.put([1], "y", Turn((3,), "", None))
    assert "x" not in memory and len(memory) == 1
