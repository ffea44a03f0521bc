"""Unrolled chains give what each chain gives alone, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from agentspark.train.blocks import run_blocks
from agentspark.train.evaluate import offline_tau
from agentspark.train.loss import LossWeights, block_loss, column_map
from tests.drafting.test_chain import reference
from tests.dspark.small import VOCAB, small_config, small_model

NONE = {"markov_rank": 0, "enable_confidence_head": False, "confidence_head_with_markov": False}


def chain(family: str = "eagle3", **more):
    block = {"mtp": 1}.get(family, 4)
    return small_model(
        small_config(family=family, num_hidden_layers=1, block_size=block, **NONE, **more)
    )


@torch.no_grad()
@pytest.mark.parametrize("family", ["eagle3", "mtp"])
def test_greedy_chains_along_their_own_drafts(family, make_example):
    """Where the response is what the chain drafts, teacher forcing is drafting."""
    model = chain(family)
    block = model.config.block_size
    examples, anchors = [], [torch.tensor([7]), torch.tensor([5])]
    for seed, at in ((1, 7), (2, 5)):
        e = make_example(14, 5, seed)
        drafts = reference(model, e.hidden[:at], e.tokens[: at + 1])
        e.tokens[at + 1 : at + 1 + block] = torch.tensor(drafts)
        examples.append(e)
    rows = run_blocks(model, examples, anchors)
    drafted = model.to_target_ids(model.base_logits(rows.hidden).argmax(-1))
    assert drafted.tolist() == rows.label.tolist()
    assert rows.prev.view(2, block)[0].tolist() == examples[0].tokens[7 : 7 + block].tolist()


@torch.no_grad()
def test_packed_chains_equal_single_ones(make_example):
    model = chain()
    examples = [make_example(14, 5, 1), make_example(11, 3, 2)]
    anchors = [torch.tensor([5, 8, 12]), torch.tensor([4])]
    rows = run_blocks(model, examples, anchors)
    got, at = rows.hidden.view(4, 4, -1), 0
    for example, chosen in zip(examples, anchors, strict=True):
        for anchor in chosen:
            alone = run_blocks(model, [example], [anchor[None]])
            torch.testing.assert_close(got[at], alone.hidden, atol=1e-5, rtol=1e-4)
            at += 1
    assert rows.valid.tolist() == [*[True] * 8, True, False, False, False, *[True] * 4]


@torch.no_grad()
def test_a_chain_sees_nothing_of_its_anchor_or_later(make_example):
    model, example = chain(), make_example()
    changed = example.hidden.clone()
    changed[6:] = 0.0
    both = [
        run_blocks(model, [e], [torch.tensor([6, 9])]).hidden
        for e in (example, replace(example, hidden=changed))
    ]
    assert torch.equal(both[0][:4], both[1][:4])
    assert not torch.allclose(both[0][4:], both[1][4:])


def test_later_steps_teach_the_first_ones(make_example):
    """The loss of the last step alone reaches every weight, through all steps before."""
    model = chain().requires_grad_(True)
    example = make_example(14, 5, 1)
    norm = torch.logsumexp(example.last @ model.lm_head.t(), -1)
    example = replace(example, log_norm=norm)
    rows = run_blocks(model, [example], [torch.tensor([5])])
    last = replace(rows, valid=rows.valid & (rows.slot == 3))
    parts = block_loss(model, [example], last, column_map(model), LossWeights())
    parts.total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0.0, name
    tau = offline_tau(model, [(example, False)])
    assert 1.0 <= tau.sampled <= 5.0


@torch.no_grad()
def test_dflash_blocks_lead_with_their_anchor(make_example):
    """Its own layout: one slot more, and slot ``k`` says the token at its own position."""
    config = small_config(family="dflash", sample_from_anchor=False, **NONE)
    model, example = small_model(config), make_example(14, 5, 1)
    rows = run_blocks(model, [example], [torch.tensor([6])])
    assert rows.hidden.shape == (4, 32)
    assert rows.label.tolist() == example.tokens[7:11].tolist()
    assert model.block_inputs(example.tokens[6:7]).shape == (5, 32)
    assert model.mask_token < VOCAB
