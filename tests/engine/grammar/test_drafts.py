"""Drafts under a grammar: how sure they are must not depend on what they are."""

from __future__ import annotations

import pytest
import torch

from agentspark.drafting.proposal import Proposal
from agentspark.engine.grammar.compiler import GrammarCompiler
from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.grammar.drafts import under

END = 2


def survival(compiler: GrammarCompiler, letters: str, *more: int) -> list[float]:
    """How sure four drawn drafts are at the beginning of a grammar; none of them is cut."""
    # Two forced letters, then one that decides: behind X nothing may follow, behind W two letters.
    state = compiler.state(Constraint.regex("ZQ(X|W[XW][XW])"), 20)
    drawn = [*(compiler.tables.plain.tokenize_str(letter)[0] for letter in letters), *more]
    probs = torch.full((4, 512), 1 / 512)
    proposal = Proposal(drawn, [0.1, 0.01, 0.001, 0.0001], probs, "dspark")
    found = under(state, proposal, 4, fixed=False)
    assert found.token_ids == drawn
    return found.survival


def test_drawn_drafts_are_as_sure_whatever_they_are(compiler: GrammarCompiler) -> None:
    goes_on = survival(compiler, "ZQWX")
    assert goes_on == pytest.approx([1.0, 1.0, 0.1, 0.01])
    # The third one ends the text, and no fourth one is allowed.
    assert survival(compiler, "ZQXX")[:3] == pytest.approx(goes_on[:3])
    # The fourth ones are the end that has to come, and what is not allowed there.
    assert survival(compiler, "ZQX", END) == pytest.approx(survival(compiler, "ZQXX"))
    # The third one is not allowed.
    assert survival(compiler, "ZQZX")[:3] == pytest.approx(goes_on[:3])
