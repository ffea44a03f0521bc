"""The fused objective against the same written plainly, values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from agentspark.train import loss as loss_module
from agentspark.train.blocks import run_blocks
from agentspark.train.loss import LossWeights, block_loss, column_map, teacher_probs
from tests.dspark.small import VOCAB, gemma4, pruned, small_config, small_drafter
from tests.train.conftest import full_head


def plain_loss(model, examples, rows, weights):
    """The formula over the whole vocabulary, by autograd."""
    ids = torch.arange(VOCAB) if model.draft_token_ids is None else model.draft_token_ids
    k = model.config.block_size
    logits = model.base_logits(rows.hidden)
    if model.markov_head is not None:
        shaped = rows.hidden.view(-1, k, 32)
        bias = model.markov_head.block_bias(rows.prev.view(-1, k), shaped)
        logits = logits + bias.flatten(0, 1)
    drafted = torch.zeros(len(logits), VOCAB).index_copy(1, ids, torch.softmax(logits, -1))
    last = torch.cat([e.last for e in examples])[rows.teacher]
    target = torch.softmax(model.capped(last @ full_head(model).t()), -1)
    l1 = (drafted - target).abs().sum(-1)
    known = torch.isin(rows.label, ids)
    column = column_map(model)[rows.label].clamp(min=0)
    ce = F.cross_entropy(logits, column, reduction="none") * known
    accept = 1.0 - 0.5 * l1
    previous = None if model.markov_head is None else model.markov_head.previous(rows.prev)
    logit = model.confidence_head(rows.hidden, previous)
    bce = F.binary_cross_entropy_with_logits(logit, accept.detach(), reduction="none")
    w = rows.valid.float()
    if weights.decay is not None:
        w = w * torch.exp(-rows.slot / weights.decay)
    total = weights.ce * ce + weights.l1 * l1 + weights.confidence * bce
    hit = ids[logits.argmax(-1)] == target.argmax(-1)
    return (total * w).sum() / w.sum(), accept, hit


@pytest.mark.parametrize(
    "config",
    [
        pruned(),
        pruned(markov_head_type="rnn"),
        small_config(markov_head_type="gated"),
        small_config(markov_rank=0, confidence_head_with_markov=False),
        pruned(final_logit_softcapping=3.0),
        gemma4(attention_k_eq_v=True, final_logit_softcapping=3.0),
    ],
)
@pytest.mark.parametrize("decay", [4.0, None])
def test_equals_the_plain_formula(config, decay, make_example, monkeypatch):
    monkeypatch.setattr(loss_module, "CHUNK_ELEMENTS", 3 * config.draft_vocab)
    model, weights = small_drafter(config), LossWeights(ce=0.3, l1=0.9, decay=decay)
    examples = []
    for seed in (1, 2):
        e = make_example(14, 5, seed)
        logits = model.capped(e.last @ full_head(model).t())
        norm, best = torch.logsumexp(logits, -1), logits.argmax(-1)
        examples.append(type(e)(e.tokens, e.start, e.hidden, e.last, norm, best))
    anchors = [torch.tensor([5, 9, 12]), torch.tensor([6, 7])]
    rows = run_blocks(model, examples, anchors)
    parts = block_loss(model, examples, rows, column_map(model), weights)
    want, accept, hit = plain_loss(model, examples, rows, weights)
    torch.testing.assert_close(parts.total, want)
    torch.testing.assert_close(parts.accept, accept.detach(), atol=1e-5, rtol=1e-4)
    assert torch.equal(parts.hit, hit)
    names, parameters = zip(*model.named_parameters(), strict=True)
    ours = torch.autograd.grad(parts.total, parameters, retain_graph=True)
    theirs = torch.autograd.grad(want, parameters)
    for name, a, b in zip(names, ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3, msg=name)
    assert any(float(g.abs().max()) > 1e-3 for g in theirs)


def test_mass_that_cannot_be_drafted_counts_as_distance(model, make_example):
    example = make_example()
    probs = teacher_probs(model, [example], torch.arange(len(example.last)))
    whole = torch.softmax(example.last @ full_head(model).t(), -1)
    torch.testing.assert_close(probs, whole[:, model.draft_token_ids], atol=1e-6, rtol=1e-4)
    rows = run_blocks(model, [example], [torch.tensor([6])])
    parts = block_loss(model, [example], rows, column_map(model), LossWeights())
    # Nothing can be accepted beyond the mass that the draft vocabulary has.
    assert bool((parts.accept <= probs.sum(-1)[rows.teacher] + 1e-6).all())


def test_labels_outside_the_vocabulary_have_no_cross_entropy(model, make_example):
    example = make_example()
    outside = next(t for t in range(VOCAB) if t not in model.draft_token_ids.tolist())
    example.tokens[:] = outside
    rows = run_blocks(model, [example], [torch.tensor([6])])
    only_ce = LossWeights(ce=1.0, l1=0.0, confidence=0.0)
    parts = block_loss(model, [example], rows, column_map(model), only_ce)
    assert float(parts.total.detach()) == 0.0


def test_bfloat16_is_near_float32(model, make_example):
    example, anchors = make_example(), [torch.tensor([5, 9])]
    rows = run_blocks(model, [example], anchors)
    want = block_loss(model, [example], rows, column_map(model), LossWeights()).total
    half = small_drafter(pruned())
    half.attach_target(half.embed, full_head(half))
    half = half.to(torch.bfloat16)
    rows = run_blocks(half, [example], anchors)
    got = block_loss(half, [example], rows, column_map(half), LossWeights()).total
    assert got.item() == pytest.approx(want.item(), rel=0.05)
