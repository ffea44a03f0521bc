"""What a round commits, and how many drafts stand in it, whatever a grammar makes of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentspark.drafting.proposal import Proposal
from agentspark.engine.choosing import Choice, _choice


class Grammar:
    """Says ``other`` at place ``steers_at`` and is complete after ``ends_after`` tokens."""

    def __init__(self, steers_at: int | None, other: int, ends_after: int | None) -> None:
        self._steers_at, self._other, self._ends_after = steers_at, other, ends_after
        self.complete = False

    def advance(self, tokens: list[int]) -> list[int]:
        said: list[int] = []
        for token in tokens:
            said.append(self._other if len(said) == self._steers_at else token)
            self.complete = len(said) == self._ends_after
            if said[-1] != token or self.complete:
                break
        return said


def choose(drafts: list[int], accepted: int, bonus: int, grammar: Grammar | None) -> Choice:
    proposal = Proposal(drafts, [1.0] * len(drafts))
    sequence: Any = SimpleNamespace(proposal=proposal, grammar=grammar)
    return _choice(sequence, accepted, bonus)


@pytest.mark.parametrize(
    ("accepted", "grammar", "expected"),
    [
        (2, None, Choice([5, 6, 9], 2)),
        (0, None, Choice([9], 0)),
        (2, Grammar(None, 0, None), Choice([5, 6, 9], 2)),
        (2, Grammar(None, 0, 3), Choice([5, 6, 9], 2)),
        # The grammar ends with a draft.
        (2, Grammar(None, 0, 2), Choice([5, 6], 2)),
        # Another token is said than a draft, and then nothing more.
        (2, Grammar(1, 8, None), Choice([5, 8], 1)),
        (2, Grammar(1, 8, 2), Choice([5, 8], 1)),
        (2, Grammar(0, 8, None), Choice([8], 0)),
        # A draft that was not accepted is said in place of the bonus token.
        (2, Grammar(2, 7, None), Choice([5, 6, 7], 2)),
        (2, Grammar(2, 7, 3), Choice([5, 6, 7], 3)),
    ],
)
def test_the_drafts_that_stand_are_counted(
    accepted: int, grammar: Grammar | None, expected: Choice
) -> None:
    assert choose([5, 6, 7], accepted, 9, grammar) == expected


places = st.none() | st.integers(0, 4)


@given(st.lists(st.integers(0, 2), max_size=4), st.data())
def test_the_count_is_that_of_the_tokens_compared(drafts: list[int], data: st.DataObject) -> None:
    accepted = data.draw(st.integers(0, len(drafts)))
    bonus = data.draw(st.integers(0, 2))
    grammar = Grammar(data.draw(places), data.draw(st.integers(0, 2)), data.draw(places))

    choice = choose(drafts, accepted, bonus, grammar)

    alike = 0
    for draft, token in zip(drafts, choice.tokens, strict=False):
        if draft != token:
            break
        alike += 1
    # The last token is a draft only where the grammar ends with it.
    assert choice.accepted == min(alike, len(choice.tokens) - (not grammar.complete))
