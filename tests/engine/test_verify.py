"""Verification keeps the target's distribution: exactly on small cases, in draws on larger ones."""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import product

import pytest
import torch
from torch import Tensor

from agentspark.drafting.proposal import DraftProbs, Proposal, one_hot
from agentspark.engine import verify
from agentspark.engine.verify import verify_greedy, verify_sampled
from agentspark.sampling.draw import draw_row, draw_rows, draw_tokens, make_generator, uniforms
from agentspark.sampling.params import SamplingParams
from agentspark.sampling.sampler import probabilities


def test_greedy_keeps_what_the_target_would_have_said() -> None:
    assert verify_greedy([5, 6, 7], [5, 6]) == (2, 7)
    assert verify_greedy([5, 6, 7], [5, 9]) == (1, 6)
    assert verify_greedy([5, 6, 7], [4, 6]) == (0, 5)
    assert verify_greedy([5], []) == (0, 5)
    with pytest.raises(ValueError, match="need 3 rows"):
        verify_greedy([5, 6], [5, 6])


def exact_output(
    monkeypatch: pytest.MonkeyPatch,
    target: Callable[[tuple[int, ...]], Tensor],
    proposals: Sequence[tuple[float, Proposal]],
    horizon: int,
) -> dict[tuple[int, ...], float]:
    """Output distribution over all proposals, each with its weight, and over all uniforms."""
    total: dict[tuple[int, ...], float] = defaultdict(float)

    def add(tokens: tuple[int, ...], mass: float) -> None:
        if len(tokens) >= horizon:
            total[tokens[:horizon]] += mass
            return
        for y, p in enumerate(target(tokens).tolist()):
            add((*tokens, y), mass * p)

    for weight, proposal in proposals:
        drafts = tuple(proposal.token_ids)
        rows = torch.stack([target(drafts[:i]) for i in range(len(drafts) + 1)])
        left = weight
        for kept in range(len(drafts), -1, -1):
            threshold, bonus = threshold_of(monkeypatch, rows, proposal, kept)
            for y, p in enumerate(bonus.tolist()):
                add((*drafts[:kept], y), left * threshold * p)
            left *= 1.0 - threshold
    return total


# The largest number below 1: whoever compares it with a threshold below 1 rejects.
MOST = math.nextafter(1.0, 0.0)


def threshold_of(
    monkeypatch: pytest.MonkeyPatch, rows: Tensor, proposal: Proposal, kept: int
) -> tuple[float, Tensor]:
    """Below which uniform ``kept`` drafts are kept where no more are, and what the bonus follows.

    A uniform decides by one comparison, so its threshold is found by halving.
    """
    weights = torch.zeros(rows.shape[1])

    def capture(row: Tensor, u: float) -> int:
        weights.copy_(row / row.sum())
        return 0

    def keeps(u: float) -> bool:
        own = [MOST] * (len(proposal) + 1)
        if kept:
            own[kept - 1] = u
        monkeypatch.setattr(verify, "uniforms", lambda n, generator: list(own))
        return verify_sampled(rows, proposal, None)[0] >= kept

    monkeypatch.setattr(verify, "draw_row", capture)
    low, high = 0.0, 1.0
    if keeps(MOST):
        low = high
    elif keeps(0.0):
        while high - low > 1e-12:
            middle = (low + high) / 2
            low, high = (middle, high) if keeps(middle) else (low, middle)
        keeps(low)
    return low, weights.clone()


def expect(
    target: Callable[[tuple[int, ...]], Tensor],
    vocab: int,
    horizon: int,
) -> dict[tuple[int, ...], float]:
    expected = {}
    for tokens in product(range(vocab), repeat=horizon):
        mass = 1.0
        for i, token in enumerate(tokens):
            mass *= float(target(tokens[:i])[token])
        expected[tokens] = mass
    return expected


def same(found: dict[tuple[int, ...], float], expected: dict[tuple[int, ...], float]) -> bool:
    return all(found.get(k, 0.0) == pytest.approx(v, abs=1e-6) for k, v in expected.items())


def test_one_sampled_draft_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    p_t, p_d = torch.tensor([1, 5, 2, 0]) / 8, torch.tensor([4, 2, 1, 1]) / 8
    proposals = [
        (float(p_d[x]), Proposal([x], [0.5], DraftProbs.of(p_d.unsqueeze(0), [x]), "dspark"))
        for x in range(4)
    ]
    found = exact_output(monkeypatch, lambda _: p_t, proposals, horizon=2)
    assert same(found, expect(lambda _: p_t, 4, 2))


def two_tokens(prefix: tuple[int, ...]) -> Tensor:
    return torch.tensor([[3, 1], [1, 3], [2, 2]][sum(prefix, start=len(prefix)) % 3]) / 4


def drafted(prefix: tuple[int, ...]) -> Tensor:
    return torch.tensor([[1, 1], [2, 2]][len(prefix) % 2]) / (2 if len(prefix) % 2 == 0 else 4)


def test_two_sampled_drafts_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    proposals = []
    for x in product(range(2), repeat=2):
        rows = torch.stack([drafted(()), drafted(x[:1])])
        proposal = Proposal(list(x), [0.5, 0.5], DraftProbs.of(rows, x), "dspark")
        proposals.append((float(rows[0, x[0]] * rows[1, x[1]]), proposal))
    found = exact_output(monkeypatch, two_tokens, proposals, horizon=3)
    assert same(found, expect(two_tokens, 2, 3))


def test_a_one_hot_proposal_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    for x in product(range(2), repeat=2):
        proposals = [(1.0, one_hot(x, [0.5, 0.5], "suffix"))]
        found = exact_output(monkeypatch, two_tokens, proposals, horizon=3)
        assert same(found, expect(two_tokens, 2, 3))


def test_sampled_drafts_followed_by_a_copy_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    # The copied token depends on the drawn one before it.
    proposals = [
        (0.5, Proposal([x, 1 - x], [0.5, 0.5], DraftProbs.of(torch.full((1, 2), 0.5), [x]), "both"))
        for x in range(2)
    ]
    found = exact_output(monkeypatch, two_tokens, proposals, horizon=3)
    assert same(found, expect(two_tokens, 2, 3))


def test_a_pruned_draft_vocabulary_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    p_t = torch.tensor([1, 2, 0, 4, 1]) / 8
    p_d, d2t = torch.tensor([4, 3, 1]) / 8, torch.tensor([3, 0, 2])
    proposals = [
        (
            float(p_d[j]),
            Proposal([int(d2t[j])], [0.5], DraftProbs.of(p_d.unsqueeze(0), [j], d2t), "dspark"),
        )
        for j in range(3)
    ]
    found = exact_output(monkeypatch, lambda _: p_t, proposals, horizon=1)
    assert same(found, expect(lambda _: p_t, 5, 1))


Tree = Callable[[tuple[int, ...]], Tensor]


def random_tree(seed: int, vocab: int, sharpness: float) -> Tree:
    """A distribution after every prefix; some tokens have none of it."""

    @functools.cache
    def after(prefix: tuple[int, ...]) -> Tensor:
        place = sum((token + 1) * (vocab + 1) ** i for i, token in enumerate(prefix))
        generator = torch.Generator().manual_seed(seed * 1000 + place)
        row = torch.softmax(sharpness * torch.randn(vocab, generator=generator), dim=-1)
        row = torch.where(row < 0.05, 0.0, row)
        return row / row.sum()

    return after


def blocks_of(
    drafter: Tree, vocab: int, length: Callable[[tuple[int, ...]], bool]
) -> list[tuple[float, Proposal]]:
    """All blocks with their weights; ``length`` says from its drafts whether a block goes on."""
    blocks: list[tuple[float, Proposal]] = []

    def grow(drafts: tuple[int, ...], weight: float) -> None:
        if weight == 0.0:
            return
        if not length(drafts):
            rows = torch.stack([drafter(drafts[:i]) for i in range(len(drafts))])
            probs = DraftProbs.of(rows, drafts)
            blocks.append((weight, Proposal(list(drafts), [0.5] * len(drafts), probs, "dspark")))
            return
        for x in range(vocab):
            grow((*drafts, x), weight * float(drafter(drafts)[x]))

    grow((), 1.0)
    return blocks


@pytest.mark.parametrize("seed", range(4))
def test_blocks_of_any_distributions_are_exact(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    target, drafter = random_tree(seed, 3, 1.0), random_tree(100 + seed, 3, 1.0)
    blocks = blocks_of(drafter, 3, lambda drafts: len(drafts) < 3)
    found = exact_output(monkeypatch, target, blocks, horizon=4)
    assert same(found, expect(target, 3, 4))


def test_blocks_whose_own_drafts_say_where_they_end_are_exact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As the scheduler cuts them: whether a draft is verified goes by the drafts before it.
    target, drafter = random_tree(7, 3, 1.0), random_tree(8, 3, 1.0)
    blocks = blocks_of(
        drafter, 3, lambda drafts: not drafts or (len(drafts) < 4 and drafts[-1] > 0)
    )
    assert {len(block) for _, block in blocks} == {1, 2, 3, 4}
    found = exact_output(monkeypatch, target, blocks, horizon=4)
    assert same(found, expect(target, 3, 4))


def test_blocks_that_end_where_their_last_draft_says_are_not_exact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What the scheduler must not do, or the tests above could not fail: drop a draft for its value.
    target, drafter = random_tree(7, 3, 1.0), random_tree(8, 3, 1.0)
    blocks = [
        (weight, block.truncate(1) if block.token_ids[1] else block)
        for weight, block in blocks_of(drafter, 3, lambda drafts: len(drafts) < 2)
    ]
    found = exact_output(monkeypatch, target, blocks, horizon=3)
    assert not same(found, expect(target, 3, 3))


@pytest.mark.parametrize("seed", range(4))
def test_a_block_keeps_more_than_its_tokens_one_by_one(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    target, drafter = random_tree(seed, 3, 1.0), random_tree(100 + seed, 3, 1.0)
    block_kept = token_kept = 0.0
    for weight, block in blocks_of(drafter, 3, lambda drafts: len(drafts) < 3):
        drafts, survives = tuple(block.token_ids), 1.0
        for i, token in enumerate(drafts):
            ratio = float(target(drafts[:i])[token] / drafter(drafts[:i])[token])
            survives *= min(1.0, ratio)
            token_kept += weight * survives
        left = weight
        rows = torch.stack([target(drafts[:i]) for i in range(4)])
        for kept in range(3, 0, -1):
            threshold, _ = threshold_of(monkeypatch, rows, block, kept)
            block_kept += left * threshold * kept
            left *= 1.0 - threshold
    assert block_kept > token_kept + 1e-3


def test_equal_distributions_accept_everything() -> None:
    rows = torch.softmax(torch.randn(4, 50), dim=-1)
    generator = make_generator(3)
    for _ in range(50):
        drafts = draw_tokens(rows[:3], [generator] * 3)
        proposal = Proposal(drafts, [1.0] * 3, DraftProbs.of(rows[:3], drafts), "dspark")
        assert verify_sampled(rows, proposal, generator)[0] == 3


def test_a_draft_the_target_cannot_say_is_never_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "uniforms", lambda n, generator: [0.0] * n)
    rows = torch.tensor([[0.0, 0.4, 0.6], [1.0, 0.0, 0.0]])
    assert verify_sampled(rows, one_hot([0], [0.9], "suffix"), None) == (0, 1)


def test_no_drafts_is_plain_sampling() -> None:
    rows = torch.tensor([[0.0, 1.0, 0.0]])
    assert verify_sampled(rows, Proposal(), make_generator(0)) == (0, 1)
    with pytest.raises(ValueError, match="need 2 rows"):
        verify_sampled(rows, one_hot([1], [0.5], "suffix"), None)


def test_the_generator_advances_alike_whatever_is_accepted() -> None:
    rows = torch.tensor([[0.5, 0.5, 0.0]] * 3)
    states = []
    for drafts in ([0, 0], [2, 2], [1, 2]):
        generator = make_generator(9)
        verify_sampled(rows, one_hot(drafts, [0.5, 0.5], "suffix"), generator)
        states.append(generator.get_state())
    assert all(torch.equal(states[0], state) for state in states)


DRAWS = 20_000
VOCAB = 24


@pytest.mark.parametrize(
    ("params", "kind"),
    [
        (SamplingParams(temperature=0.7), "sampled"),
        (SamplingParams(temperature=1.0), "sampled"),
        (SamplingParams(temperature=1.0, top_p=0.9), "sampled"),
        (SamplingParams(temperature=1.0), "pruned"),
    ],
)
def test_chi_square_of_twenty_thousand_draws(params: SamplingParams, kind: str) -> None:
    source = torch.Generator().manual_seed(11)
    target_logits = torch.randn(2, VOCAB, generator=source) * 1.5
    target = probabilities(target_logits, [params] * 2)
    d2t = torch.arange(0, VOCAB, 2) if kind == "pruned" else None
    draft_logits = (target_logits + torch.randn(2, VOCAB, generator=source))[:1]
    draft = probabilities(draft_logits if d2t is None else draft_logits[:, d2t], [params])
    generator = make_generator(5)
    drawn = draw_rows(draft.expand(DRAWS, -1), uniforms(DRAWS, generator))
    ids = range(VOCAB) if d2t is None else d2t.tolist()
    proposals = [
        Proposal([x], [0.5], DraftProbs.of(draft, [j], d2t), "dspark") for j, x in enumerate(ids)
    ]
    counts = [0] * VOCAB
    accepted_total = 0
    for j in drawn:
        accepted, bonus = verify_sampled(target, proposals[j], generator)
        counts[ids[j] if accepted else bonus] += 1
        accepted_total += accepted
    assert 0 < accepted_total < DRAWS
    assert p_value(torch.tensor(counts).double(), target[0].double() * DRAWS) > 0.01


def test_chi_square_of_whole_blocks() -> None:
    target, drafter = random_tree(3, 4, 1.0), random_tree(4, 4, 1.0)
    blocks = blocks_of(drafter, 4, lambda drafts: len(drafts) < 3)
    rows = {
        tuple(block.token_ids): torch.stack([target(tuple(block.token_ids[:i])) for i in range(4)])
        for _, block in blocks
    }
    generator = make_generator(6)
    weights = torch.tensor([[weight for weight, _ in blocks]], dtype=torch.float64)
    drawn = draw_rows(weights.expand(DRAWS, -1), uniforms(DRAWS, generator))
    counts: dict[tuple[int, ...], int] = defaultdict(int)
    for index in drawn:
        block = blocks[index][1]
        kept, bonus = verify_sampled(rows[tuple(block.token_ids)], block, generator)
        said = (*block.token_ids[:kept], bonus)
        while len(said) < 3:
            said = (*said, draw_row(target(said), uniforms(1, generator)[0]))
        counts[said[:3]] += 1
    expected = expect(target, 4, 3)
    found = torch.tensor([counts[said] for said in expected]).double()
    assert p_value(found, DRAWS * torch.tensor(list(expected.values())).double()) > 0.01


def p_value(counts: Tensor, expected: Tensor) -> float:
    """Of Pearson's chi-square; cells that expect fewer than 5 draws are one cell."""
    assert not counts[expected == 0].any()
    large = expected >= 5
    statistic = ((counts - expected)[large] ** 2 / expected[large]).sum()
    cells, rest = int(large.sum()), expected[~large].sum()
    if rest > 0:
        statistic += (counts[~large].sum() - rest) ** 2 / rest
        cells += 1
    return float(torch.special.gammaincc(torch.tensor((cells - 1) / 2).double(), statistic / 2))
