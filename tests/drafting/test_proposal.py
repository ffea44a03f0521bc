"""Proposals and the distributions behind them."""

from __future__ import annotations

import torch

from agentspark.drafting.proposal import DraftProbs, Proposal, one_hot


def test_truncating_keeps_the_first_drafts_and_their_rows() -> None:
    rows = torch.softmax(torch.randn(2, 6), dim=-1)
    proposal = Proposal([4, 1, 5], [0.9, 0.8, 0.1], DraftProbs.of(rows, [4, 1]), "dspark", "k")
    assert (len(proposal), proposal.sampled, proposal.deterministic) == (3, 2, False)
    cut = proposal.truncate(1)
    assert (cut.token_ids, cut.survival, cut.source, cut.key) == ([4], [0.9], "dspark", "k")
    assert cut.probs is not None and torch.equal(cut.probs.rows, rows[:1])
    assert proposal.truncate(3) is proposal
    empty = proposal.truncate(0)
    assert (len(empty), empty.deterministic, empty.source) == (0, True, "dspark")


def test_a_one_hot_proposal() -> None:
    proposal = one_hot((1, 2), (0.5, 0.25), "suffix")
    assert proposal.deterministic and proposal.sampled == 0
    assert proposal.expected_accepted == 0.75
    assert proposal.truncate(1) == one_hot([1], [0.5], "suffix")


def test_the_chosen_probabilities_are_looked_up() -> None:
    rows = torch.tensor([[0.25, 0.75], [0.5, 0.5]])
    assert DraftProbs.of(rows, [1, 0]).chosen.tolist() == [0.75, 0.5]


def test_a_pruned_row_is_subtracted_at_its_target_ids() -> None:
    probs = DraftProbs.of(torch.tensor([[0.25, 0.75]]), [1], torch.tensor([3, 0]))
    target = torch.tensor([0.5, 0.25, 0.0, 0.25])
    assert probs.subtract_from(target, 0).tolist() == [-0.25, 0.25, 0.0, 0.0]
    assert target.tolist() == [0.5, 0.25, 0.0, 0.25]
    full = DraftProbs.of(torch.tensor([[0.25, 0.75, 0.0, 0.0]]), [1])
    assert full.subtract_from(target, 0).tolist() == [0.25, -0.5, 0.0, 0.25]
