"""Choosing and combining the sources."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agentspark.drafting.choose import DraftRecord, best_rate, extend, merge, prefer_copy
from agentspark.drafting.proposal import DraftProbs, Proposal, one_hot
from agentspark.dspark.costs import CostTable

# Rows are cheap, a draft costs a quarter of a round.
COST = CostTable({1: 0.020, 8: 0.022, 64: 0.060}, {1: 0.005, 8: 0.010})


def test_the_best_rate_counts_draft_and_rows() -> None:
    plain = best_rate([], COST, base_tokens=1, base_yield=1.0, drafted=0)
    assert plain == pytest.approx(1 / 0.020)
    assert best_rate([0.9], COST, base_tokens=1, base_yield=1.0, drafted=1) == pytest.approx(
        1.9 / (COST.seconds(2) + 0.005)
    )
    # A hopeless draft is not verified, but its time is gone.
    assert best_rate([0.0], COST, base_tokens=1, base_yield=1.0, drafted=1) == pytest.approx(
        1 / 0.025
    )


def test_a_sure_copy_saves_the_drafter() -> None:
    expected = [0.7, 0.5, 0.35]
    assert prefer_copy(one_hot(range(8), [0.95] * 8, "suffix"), expected, COST)
    assert not prefer_copy(one_hot([1, 2], [0.3, 0.1], "suffix"), expected, COST)
    assert not prefer_copy(Proposal(source="suffix"), [0.0], COST)


def test_a_useless_drafter_is_left_out_even_for_a_poor_copy() -> None:
    assert prefer_copy(one_hot([1], [0.3], "suffix"), [0.05], COST)


def test_extending_keeps_the_drawn_rows_and_multiplies_survival() -> None:
    rows = torch.tensor([[0.5, 0.5]])
    draft = Proposal([1], [0.8], DraftProbs.of(rows, [1]), "dspark", "d")
    joined = extend(draft, one_hot([0, 1], [0.5, 0.25], "suffix", "s"))
    assert joined.token_ids == [1, 0, 1]
    assert joined.survival == pytest.approx([0.8, 0.4, 0.2])
    assert (joined.sampled, joined.source, joined.key) == (1, "dspark+suffix", ("d", "s"))
    assert extend(draft, Proposal()) is draft
    assert extend(Proposal(), one_hot([1], [0.5], "suffix")).token_ids == []


def test_merging_agreeing_proposals_takes_the_longer() -> None:
    merged = merge(
        one_hot([1, 2], [0.6, 0.3], "dspark"), one_hot([1, 2, 3, 4], [0.5, 0.4, 0.3, 0.2], "suffix")
    )
    assert merged.token_ids == [1, 2, 3, 4]
    assert merged.survival == pytest.approx([0.6, 0.4, 0.3, 0.2])
    assert merged.source == "dspark+suffix"


def test_merging_parts_where_the_sources_part() -> None:
    draft = one_hot([1, 2, 3], [0.9, 0.8, 0.7], "dspark", "d")
    copy = one_hot([1, 5, 6], [0.9, 0.2, 0.1], "suffix", "s")
    assert merge(draft, copy).token_ids == [1, 2, 3]
    assert merge(draft, one_hot([4, 5], [0.9, 0.9], "suffix")).source == "dspark"
    better = one_hot([4, 5, 6], [0.95, 0.95, 0.95], "suffix", "s")
    assert merge(draft, better) == better
    assert merge(draft, Proposal()) is draft
    assert merge(Proposal(), copy) is copy


proposals = st.lists(st.tuples(st.integers(0, 2), st.floats(0.0, 1.0)), max_size=6).map(
    lambda pairs: one_hot(
        [token for token, _ in pairs], sorted((s for _, s in pairs), reverse=True), "any"
    )
)


@given(proposals, proposals)
def test_a_merged_proposal_is_one_of_them_with_ordered_survival(
    draft: Proposal, copy: Proposal
) -> None:
    merged = merge(draft, copy)
    assert merged.token_ids in (draft.token_ids, copy.token_ids)
    assert len(merged.survival) == len(merged.token_ids)
    assert all(0 <= b <= a <= 1 for a, b in zip(merged.survival, merged.survival[1:], strict=False))


def test_the_record_learns_how_far_drafts_get() -> None:
    record = DraftRecord(block_size=3)
    start = record.expected()
    assert len(start) == 3
    for _ in range(100):
        record.update(3, 1)
    low = record.expected()
    assert low[0] > 0.9 and low[1] < 0.1
    record.update(0, 0)
    assert record.expected() == low
