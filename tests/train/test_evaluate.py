"""Offline accepted length is what rounds of drafting would give."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from agentspark.dspark.backbone import plain_attend
from agentspark.train.evaluate import offline_tau, walk
from tests.dspark.small import VOCAB, pruned, small_drafter


def draft(model, example, anchor: int) -> list[int]:
    """Draft one block greedily, token by token, as inference does."""
    backbone, head = model.backbone, model.markov_head
    features = backbone.context_features(example.hidden[:anchor])
    context = backbone.context_kv(features, torch.arange(anchor))
    places = torch.arange(anchor, anchor + model.config.block_size)
    x = model.block_inputs(example.tokens[anchor : anchor + 1])
    hidden = backbone.block_hidden(x, places, plain_attend(context))
    out, prev, state = [], example.tokens[anchor : anchor + 1], head.start(1)
    for h in hidden:
        bias, state = head.step(prev, h[None], state)
        prev = model.to_target_ids((model.base_logits(h[None]) + bias).argmax(-1))
        out.append(int(prev))
    return out


@torch.no_grad()
def test_greedy_walk_equals_real_rounds(model, make_example):
    examples = []
    for seed in range(6):
        e = make_example(40, 4, seed)
        # A greedy response, half of it what the drafter itself would draft.
        for p in range(4, 39):
            mine = draft(model, e, p)[0]
            e.tokens[p + 1] = mine if p % 2 else e.tokens[p + 1]
        best = torch.cat((e.tokens[5:], e.best[-1:]))
        # A token of a grammar's is not the target's best one, and greedy rounds have it too.
        best[::7] = (best[::7] + 1) % VOCAB
        examples.append(replace(e, best=best))
    tokens = rounds = 0
    for e in examples:
        at = 4
        while at < 39:
            drafts, good = draft(model, e, at), 0
            while good < 4 and at + good + 1 < 40 and drafts[good] == e.tokens[at + good + 1]:
                good += 1
            at, rounds = at + good + 1, rounds + 1
        tokens += min(at, 39) - 4
    tau = offline_tau(model, [(e, True) for e in examples])
    assert tau.rounds == rounds
    assert tau.greedy == pytest.approx(tokens / rounds)
    assert tau.greedy > 1.2


@torch.no_grad()
def test_sampled_responses_do_not_count_as_greedy(model, make_example):
    tau = offline_tau(model, [(make_example(40, 4, 1), False)])
    assert tau.greedy is None
    assert tau.conditional_greedy == [None] * 4
    assert 1.0 <= tau.sampled <= 5.0
    assert all(0.0 <= c <= 1.0 for c in tau.conditional)


def test_what_nothing_was_counted_for_is_unknown(model, make_example):
    tau = offline_tau(model, [])
    assert (tau.greedy, tau.sampled) == (None, None)
    assert tau.conditional == tau.conditional_greedy == [None] * 4
    # No block of four fits into three tokens.
    assert offline_tau(model, [(make_example(7, 4, 1), True)]).conditional == [None] * 4


def test_walk_steps_over_accepted_tokens():
    assert walk([0, 2, 9, 9, 0]) == (5, 3)
    assert walk([]) == (0, 0)
    # Nothing comes after a response's end, not even the token that a round adds.
    assert walk([2, 1]) == walk([1, 0]) == (2, 1)


@pytest.mark.gpu
def test_on_cuda_a_drafter_is_measured_as_on_the_cpu(make_example):
    examples = [(make_example(40, 4, 1), True), (make_example(30, 5, 2), False)]
    want = offline_tau(small_drafter(pruned(head_dim=16)), examples)
    got = offline_tau(small_drafter(pruned(head_dim=16)).cuda(), examples)
    assert got.anchors == want.anchors
    assert got.sampled == pytest.approx(want.sampled, rel=1e-2)
