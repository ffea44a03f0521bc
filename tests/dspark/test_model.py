"""The drafter's modules against their formulas."""

from __future__ import annotations

import pytest
import torch

from agentspark.dspark.backbone import plain_attend
from agentspark.dspark.rope import Rotary
from tests.dspark.small import VOCAB, pruned, small_config, small_drafter


def run_block(model, hidden, anchor: int):
    backbone, length = model.backbone, hidden.shape[0]
    context = backbone.context_kv(backbone.context_features(hidden), torch.arange(length))
    places = torch.arange(length, length + model.config.block_size)
    x = model.block_inputs(torch.tensor([anchor]))
    return backbone.block_hidden(x, places, plain_attend(context))


def test_block_matches_the_layer_written_out():
    """One layer in plain formulas: norms, rotation, joint softmax over context and block."""
    model = small_drafter(small_config(num_hidden_layers=1, num_key_value_heads=4))
    c, layer = model.config, model.backbone.draft_layers()[0]
    hidden = torch.randn(5, c.feature_size)
    got = run_block(model, hidden, anchor=7)

    def norm(x, weight):
        return x / (x.square().mean(-1, keepdim=True) + c.rms_norm_eps).sqrt() * weight

    def turn(x, first):
        angle = (first + torch.arange(x.shape[0]))[:, None] / 10000.0 ** (torch.arange(0, 8, 2) / 8)
        cos, sin = angle.cos()[:, None], angle.sin()[:, None]
        a, b = x[..., :4], x[..., 4:]
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    at, tokens = layer.self_attn, torch.tensor([7, 3, 3, 3])
    features = norm(hidden @ model.backbone.fc.weight.t(), model.backbone.hidden_norm.weight)
    x = model.embed[tokens]
    y = norm(x, layer.input_layernorm.weight)
    q = turn(norm((y @ at.q_proj.weight.t()).view(-1, 4, 8), at.q_norm.weight), 5)
    both = torch.cat((features, y))
    k = turn(norm((both @ at.k_proj.weight.t()).view(-1, 4, 8), at.k_norm.weight), 0)
    v = (both @ at.v_proj.weight.t()).view(-1, 4, 8)
    weights = torch.softmax(torch.einsum("qhd,khd->hqk", q, k) / 8**0.5, -1)
    x = x + torch.einsum("hqk,khd->qhd", weights, v).reshape(4, -1) @ at.o_proj.weight.t()
    y = norm(x, layer.post_attention_layernorm.weight)
    mlp = layer.mlp
    gate = torch.nn.functional.silu(y @ mlp.gate_proj.weight.t())
    x = x + (gate * (y @ mlp.up_proj.weight.t())) @ mlp.down_proj.weight.t()
    torch.testing.assert_close(got, norm(x, model.backbone.norm.weight), atol=1e-5, rtol=1e-4)


def test_casting_a_drafter_keeps_late_positions_exact():
    rotary = Rotary(small_config())
    want = rotary(torch.tensor([5000]), torch.float32)
    cast = Rotary(small_config()).to(torch.bfloat16)
    for a, b in zip(want, cast(torch.tensor([5000]), torch.float32), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", ["vanilla", "gated", "rnn"])
@pytest.mark.parametrize("make", [small_config, pruned])
def test_steps_equal_the_whole_block(kind, make):
    model = small_drafter(make(markov_head_type=kind))
    head = model.markov_head
    prev, hidden = torch.randint(0, VOCAB, (3, 4)), torch.randn(3, 4, 32)
    whole, state = head.block_bias(prev, hidden), head.start(3)
    assert whole.shape == (3, 4, model.config.draft_vocab)
    for k in range(4):
        bias, state = head.step(prev[:, k], hidden[:, k], state)
        torch.testing.assert_close(bias, whole[:, k])


def test_heads_follow_their_formulas():
    prev, hidden = torch.tensor([[4, 9]]), torch.randn(1, 2, 32)
    model = small_drafter(small_config())
    head = model.markov_head
    w1, w2 = head.markov_w1.weight, head.markov_w2.weight
    torch.testing.assert_close(head.block_bias(prev, hidden)[0, 1], w2 @ w1[9])
    head = small_drafter(small_config(markov_head_type="gated")).markov_head
    e = head.markov_w1.weight[9]
    gate = torch.sigmoid(head.gate_proj(torch.cat((hidden[0, 1], e))))
    want = head.markov_w2.weight @ (gate * e)
    torch.testing.assert_close(head.block_bias(prev, hidden)[0, 1], want)
    head = small_drafter(small_config(markov_head_type="rnn")).markov_head
    state = torch.zeros(6)
    for k, token in enumerate((4, 9)):
        z = torch.cat((state, head.markov_w1.weight[token], hidden[0, k]))
        g, c, o = head.joint_proj(z).chunk(3)
        state = torch.sigmoid(g) * state + (1 - torch.sigmoid(g)) * torch.tanh(c)
    want = head.markov_w2.weight @ torch.tanh(o)
    torch.testing.assert_close(head.block_bias(prev, hidden)[0, 1], want)


def test_undraftable_tokens_share_the_last_row():
    model = small_drafter(pruned())
    head, ids = model.markov_head, model.draft_token_ids
    others = torch.tensor([t for t in range(VOCAB) if t not in ids.tolist()])
    assert torch.equal(head.previous(ids), head.markov_w1.weight[:20])
    assert torch.equal(head.previous(others), head.markov_w1.weight[20].expand(40, -1))
    assert torch.equal(model.to_target_ids(torch.arange(20)), ids)


def test_pruned_logits_are_rows_of_the_whole_head():
    model = small_drafter(pruned())
    head = torch.randn(VOCAB, 32)
    model.attach_target(torch.randn(VOCAB, 32), head)
    hidden = torch.randn(3, 32)
    want = (hidden @ head.t())[:, model.draft_token_ids]
    torch.testing.assert_close(model.base_logits(hidden), want)


def test_confidence_reads_the_previous_token_only_where_it_is_told_to():
    model = small_drafter(small_config())
    hidden, prev = torch.randn(2, 32), torch.tensor([1, 2])
    embedded = model.markov_head.previous(prev)
    want = model.confidence_head.proj(torch.cat((hidden, embedded), -1))[:, 0]
    torch.testing.assert_close(model.confidence_head(hidden, embedded), want)
    with pytest.raises(ValueError, match="previous"):
        model.confidence_head(hidden, None)
    alone = small_drafter(small_config(confidence_head_with_markov=False)).confidence_head
    assert alone(hidden, None).shape == (2,)
