"""Packed blocks give what each block gives alone."""

from __future__ import annotations

import pytest
import torch

from agentspark.dspark.backbone import plain_attend
from agentspark.train import blocks, chains
from agentspark.train.blocks import run_blocks
from agentspark.train.padded import packed_padded
from tests.dspark.small import pruned, small_config, small_drafter, small_model


def test_packed_blocks_equal_single_ones(model, make_example):
    examples = [make_example(14, 5, 1), make_example(11, 3, 2)]
    anchors = [torch.tensor([5, 8, 12]), torch.tensor([4])]
    rows = run_blocks(model, examples, anchors)
    got, at = rows.hidden.view(4, 4, -1), 0
    for example, chosen in zip(examples, anchors, strict=True):
        for anchor in chosen.tolist():
            backbone = model.backbone
            features = backbone.context_features(example.hidden[:anchor])
            context = backbone.context_kv(features, torch.arange(anchor))
            x = model.block_inputs(example.tokens[anchor : anchor + 1])
            places = torch.arange(anchor, anchor + 4)
            alone = backbone.block_hidden(x, places, plain_attend(context))
            torch.testing.assert_close(got[at], alone, atol=1e-5, rtol=1e-4)
            at += 1


def test_rows_name_their_tokens_and_teacher_rows(model, make_example):
    first, second = make_example(14, 5, 1), make_example(11, 3, 2)
    rows = run_blocks(model, [first, second], [torch.tensor([11]), torch.tensor([4])])
    assert rows.prev[:3].tolist() == first.tokens[11:14].tolist()
    assert rows.label[:2].tolist() == first.tokens[12:14].tolist()
    assert rows.valid.tolist() == [True, True, False, False, True, True, True, True]
    assert rows.slot.tolist() == [0, 1, 2, 3] * 2
    assert rows.label[4:].tolist() == second.tokens[5:9].tolist()
    # The token after position p is predicted by the target's row of position p.
    assert rows.teacher[:2].tolist() == [6, 7]
    assert rows.teacher[4:].tolist() == [9 + 1, 9 + 2, 9 + 3, 9 + 4]


def test_a_block_sees_nothing_of_its_anchor_or_later(model, make_example):
    example = make_example()
    rows = run_blocks(model, [example], [torch.tensor([6, 9])])
    changed = example.hidden.clone()
    changed[6:] = 0.0
    other = type(example)(
        example.tokens, example.start, changed, example.last, example.log_norm, example.best
    )
    again = run_blocks(model, [other], [torch.tensor([6, 9])])
    assert torch.equal(rows.hidden[:4], again.hidden[:4])
    assert not torch.allclose(rows.hidden[4:], again.hidden[4:])


def gradients(model, examples, anchors):
    """The rows' states and every weight's gradient of a sum over them."""
    hidden = run_blocks(model, examples, anchors).hidden
    (hidden * torch.linspace(-1, 1, hidden.numel()).view_as(hidden).to(hidden)).sum().backward()
    grads = {n: p.grad.cpu() for n, p in model.backbone.named_parameters() if p.grad is not None}
    return hidden.detach().cpu(), grads


def chain_drafter():
    plain = {"markov_rank": 0, "enable_confidence_head": False, "num_hidden_layers": 1}
    return small_model(small_config(family="eagle3", confidence_head_with_markov=False, **plain))


@pytest.mark.parametrize("chained", [False, True])
def test_one_padded_batch_gives_the_same_states_and_gradients(chained, make_example, monkeypatch):
    examples = [make_example(60, 5, 1), make_example(40, 3, 2), make_example(11, 3, 3)]
    anchors = [torch.arange(5, 59, 3), torch.tensor([4, 30, 38]), torch.tensor([9])]
    build = chain_drafter if chained else lambda: small_drafter(pruned(head_dim=16))
    want, want_grads = gradients(build(), examples, anchors)
    for module in (blocks, chains):
        monkeypatch.setattr(module, "packed_attend", packed_padded)
    got, got_grads = gradients(build(), examples, anchors)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)
    for name, grad in want_grads.items():
        torch.testing.assert_close(got_grads[name], grad, atol=1e-4, rtol=1e-3)


@pytest.mark.gpu
def test_on_cuda_states_and_gradients_are_the_same(make_example):
    examples = [make_example(140, 5, 1), make_example(60, 3, 2)]
    anchors = [torch.arange(5, 139, 3), torch.tensor([4, 30, 58])]
    want, want_grads = gradients(small_drafter(pruned(head_dim=16)), examples, anchors)
    got, got_grads = gradients(small_drafter(pruned(head_dim=16)).cuda(), examples, anchors)
    torch.testing.assert_close(got, want, atol=1e-2, rtol=1e-2)
    for name, grad in want_grads.items():
        torch.testing.assert_close(got_grads[name], grad, atol=5e-2, rtol=5e-2)
