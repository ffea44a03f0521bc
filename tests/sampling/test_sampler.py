"""Sampling maths against plain definitions, one row at a time."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agentspark.sampling import cuts
from agentspark.sampling.cuts import cut_rows
from agentspark.sampling.draw import draw_rows, draw_tokens, make_generator
from agentspark.sampling.params import SamplingParams
from agentspark.sampling.penalties import TokenHistory, ban_early_end
from agentspark.sampling.sampler import argmax_ids, probabilities, token_logprobs, token_margins


def reference(logits: list[float], p: SamplingParams) -> list[float]:
    """The documented order in plain Python, float64."""
    if p.greedy:
        best = logits.index(max(logits))
        return [float(i == best) for i in range(len(logits))]
    scaled = [x / p.temperature for x in logits]
    if p.top_k:
        floor = sorted(scaled, reverse=True)[min(p.top_k, len(scaled)) - 1]
        scaled = [x if x >= floor else -math.inf for x in scaled]
    probs = softmax(scaled)
    keep = list(probs)
    if p.top_p < 1.0:
        running, floor = 0.0, 0.0
        for value in sorted(probs, reverse=True):
            running, floor = running + value, value
            if running >= p.top_p:
                break
        keep = [x if x >= floor else 0.0 for x in keep]
    keep = [x if x >= p.min_p * max(probs) else 0.0 for x in keep]
    return [x / sum(keep) for x in keep]


def softmax(values: list[float]) -> list[float]:
    weights = [math.exp(v - max(values)) for v in values]
    return [w / sum(weights) for w in weights]


params = st.builds(
    SamplingParams,
    temperature=st.sampled_from([0.0, 0.3, 0.7, 1.0, 1.7]),
    top_k=st.sampled_from([0, 1, 3, 7, 500]),
    top_p=st.sampled_from([1.0, 0.95, 0.6, 0.05]),
    min_p=st.sampled_from([0.0, 0.03, 0.5, 1.0]),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(params, min_size=1, max_size=5), st.integers(0, 10_000), st.integers(2, 600))
def test_rows_follow_the_documented_order(
    rows: list[SamplingParams], seed: int, vocab: int
) -> None:
    logits = torch.randn(len(rows), vocab, generator=torch.Generator().manual_seed(seed)) * 3
    before = logits.clone()
    found = probabilities(logits, rows)
    assert torch.equal(logits, before)
    for row, p, probs in zip(logits.tolist(), rows, found.tolist(), strict=True):
        assert probs == pytest.approx(reference(row, p), abs=2e-6)


@settings(max_examples=30, deadline=None)
@given(st.lists(params, min_size=2, max_size=5), st.integers(0, 1000))
def test_a_row_does_not_depend_on_its_neighbours(rows: list[SamplingParams], seed: int) -> None:
    logits = torch.randn(len(rows), 400, generator=torch.Generator().manual_seed(seed))
    together = probabilities(logits, rows)
    for r, p in enumerate(rows):
        assert torch.equal(together[r : r + 1], probabilities(logits[r : r + 1], [p]))


@settings(max_examples=60, deadline=None)
@given(st.lists(params, min_size=1, max_size=5), st.integers(0, 1000), st.sampled_from([0.1, 3, 9]))
def test_both_ways_to_cut_agree(rows: list[SamplingParams], seed: int, spread: float) -> None:
    source = torch.Generator().manual_seed(seed)
    rows = [p for p in rows if cuts._cuts(p)]
    probs = torch.softmax(torch.randn(len(rows), 700, generator=source) * spread, dim=-1)
    if rows:
        sorted_way = cuts._cut_sorted(probs, rows)
        cut_rows(probs, rows)
        assert torch.equal(probs, sorted_way)


def test_the_nucleus_counts_the_mass_of_the_unlikely_too() -> None:
    tail = torch.full((4000,), 0.2 / 4000)
    logits = torch.cat([torch.tensor([0.5, 0.3]), tail]).log().unsqueeze(0)
    for top_p, kept in ((0.49, 1), (0.6, 2), (0.79, 2)):
        probs = probabilities(logits, [SamplingParams(temperature=1.0, top_p=top_p)])
        assert probs.gt(0).sum() == kept
    # Beyond the likely ones, the tail's tokens are all the same and all stay.
    probs = probabilities(logits, [SamplingParams(temperature=1.0, top_p=0.9)])
    assert probs.gt(0).sum() == 4002


def test_ties_at_the_cut_stay() -> None:
    logits = torch.tensor([[2.0, 1.0, 1.0, 0.0]])
    assert probabilities(logits, [SamplingParams(temperature=1.0, top_k=2)]).gt(0).sum() == 3


def test_extreme_logits_stay_finite() -> None:
    logits = torch.tensor([[1e30, -1e30, float("-inf"), 0.0], [3e38, 0.0, 1.0, 2.0]])
    probs = probabilities(logits, [SamplingParams(temperature=1e-40), SamplingParams()])
    assert probs.tolist() == [[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]


def test_rows_and_params_must_match() -> None:
    with pytest.raises(ValueError, match="2 rows"):
        probabilities(torch.zeros(2, 4), [SamplingParams()])


def test_argmax_takes_the_first_of_equals() -> None:
    rows = torch.tensor([[0.0, 2.0, 2.0], [5.0, 1.0, 5.0]], dtype=torch.bfloat16)
    assert argmax_ids(rows) == [1, 0]


def test_the_same_seed_draws_the_same_tokens_in_any_company() -> None:
    probs = torch.softmax(torch.randn(3, 100), dim=-1)
    alone = [draw_tokens(probs[1:2], [make_generator(4)])[0] for _ in range(3)]
    first, mine, last = make_generator(1), make_generator(4), make_generator(2)
    assert draw_tokens(probs, [first, mine, last])[1] == alone[0]
    assert len(set(alone)) == 1
    assert make_generator(None).initial_seed() != make_generator(None).initial_seed()


def test_seeds_of_any_sign_and_size_are_taken() -> None:
    assert make_generator(-1).initial_seed() == make_generator(2**64 - 1).initial_seed()


def test_draws_follow_the_weights_and_never_take_weight_zero() -> None:
    weights = torch.tensor([[0.0, 1.0, 0.0, 3.0, 0.0]])
    grid = [(j + 0.5) / 1000 for j in range(1000)]
    drawn = torch.tensor(draw_rows(weights.expand(1000, 5), grid))
    assert drawn.bincount(minlength=5).tolist() == [0, 250, 0, 750, 0]
    nearly_one = 1.0 - 2.0**-53
    for scale in (1.0, 1.9, 1e-30, 1e30):
        assert draw_rows(weights * scale, [nearly_one]) == [3]
        assert draw_rows(weights * scale, [0.0]) == [1]


def penalized(
    logits: Tensor, history: TokenHistory, p: SamplingParams, drafts: list[int]
) -> Tensor:
    changed = logits.clone()
    history.penalize(changed, p, drafts)
    return changed


def test_penalties_follow_their_definitions() -> None:
    history = TokenHistory([0, 1, 0])
    history.extend([1, 2, 2])
    logits = torch.tensor([[2.0, -2.0, 1.0, 1.0, -1.0]])
    p = SamplingParams(repetition_penalty=2.0)
    assert penalized(logits, history, p, []).tolist() == [[1.0, -4.0, 0.5, 1.0, -1.0]]
    p = SamplingParams(frequency_penalty=0.5)
    assert penalized(logits, history, p, []).tolist() == [[2.0, -2.5, 0.0, 1.0, -1.0]]
    p = SamplingParams(presence_penalty=0.5)
    assert penalized(logits, history, p, []).tolist() == [[2.0, -2.5, 0.5, 1.0, -1.0]]


def test_penalties_count_drafts_as_said_and_forget_them() -> None:
    p = SamplingParams(repetition_penalty=1.3, presence_penalty=0.4, frequency_penalty=0.2)
    logits = torch.randn(3, 8)
    history = TokenHistory([0])
    together = penalized(logits, history, p, [3, 3])
    for i in range(3):
        plain = TokenHistory([0])
        plain.extend([3] * i)
        assert torch.equal(together[i : i + 1], penalized(logits[i : i + 1], plain, p, []))
    assert torch.equal(together, penalized(logits, history, p, [3, 3]))


def test_ending_is_banned_before_min_tokens() -> None:
    logits = torch.zeros(4, 6)
    ban_early_end(logits, SamplingParams(min_tokens=5), generated=3, end_ids={2, 4})
    banned = logits.isinf()
    assert banned.nonzero().tolist() == [[0, 2], [0, 4], [1, 2], [1, 4]]
    untouched = torch.zeros(2, 6)
    ban_early_end(untouched, SamplingParams(min_tokens=5), generated=5, end_ids={2})
    ban_early_end(untouched, SamplingParams(), generated=0, end_ids={2})
    assert not untouched.any()


def test_logprobs_are_of_the_raw_logits_with_the_best_in_order() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0], [1.0, 0.0, 3.0]])
    expected = torch.log_softmax(logits, dim=-1)
    first, second = token_logprobs(logits, [0, 2], [2, 0])
    assert first.token_id == 0
    assert first.logprob == pytest.approx(float(expected[0, 0]))
    assert [token for token, _ in first.top] == [1, 2]
    assert first.top[0][1] == pytest.approx(float(expected[0, 1]))
    assert second.top == ()
    assert token_logprobs(logits, [0, 2], [0, 0])[1].logprob == pytest.approx(float(expected[1, 2]))


def test_a_margin_is_to_the_best_other_token() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.5], [1.0, 0.0, 3.0]], dtype=torch.bfloat16)
    assert token_margins(logits, [1, 0]) == [0.5, -2.0]
    assert logits[0].tolist() == [0.0, 2.0, 1.5]
