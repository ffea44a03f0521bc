"""A chain in the pool drafts what the plain modules draft, and its context survives in blocks."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from agentspark.drafting.chain import ChainDrafter
from agentspark.drafting.drafter import ContextRows, DraftRequest, context_slots
from agentspark.dspark.backbone import Attend, plain_attend
from agentspark.dspark.config import DrafterConfig
from agentspark.dspark.model import ChainModel
from agentspark.kv.store import KVStore
from agentspark.sampling.draw import make_generator
from agentspark.sampling.params import SamplingParams

BLOCK_TOKENS, VOCAB, DRAFTABLE = 16, 120, 80
GREEDY = SamplingParams()
CPU = torch.device("cpu")


def make_model(family: str) -> ChainModel:
    torch.manual_seed(1)
    config = DrafterConfig(
        family=family,  # type: ignore[arg-type]
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=VOCAB,
        num_target_layers=4,
        target_layer_ids=(0, 2),
        mask_token_id=1,
        block_size=1 if family == "mtp" else 5,
        markov_rank=0,
        enable_confidence_head=False,
        confidence_head_with_markov=False,
        draft_vocab_size=DRAFTABLE,
    )
    model = ChainModel(config, torch.randperm(VOCAB)[:DRAFTABLE])
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.attach_target(torch.randn(VOCAB, 32), torch.randn(VOCAB, 32))
    return model.eval().requires_grad_(False)


def make_drafter(family: str) -> ChainDrafter:
    drafter = ChainDrafter(make_model(family), "tiny")
    store = KVStore(32, BLOCK_TOKENS, [], drafter.kv_shapes, dtype=torch.float32, device=CPU)
    drafter.bind(store)
    return drafter


def reference(model: ChainModel, hidden: Tensor, tokens: Tensor) -> list[int]:
    """One greedy chain by the modules; ``tokens [C + 1]`` end with the anchor."""
    backbone, length = model.backbone, hidden.shape[0]
    features = backbone.features(hidden)
    before = torch.cat([torch.zeros(1, 32), features[:-1]])
    past = backbone.key_value(model.token_inputs(tokens[:-1]), before, torch.arange(length))
    feature, token, drafts = features[-1:], tokens[-1:], []
    seen: list[tuple[Tensor, Tensor]] = [past]

    def attend(q: Tensor, k: Tensor, v: Tensor, layer: int, /) -> Tensor:
        known = [torch.cat(parts, dim=1) for parts in zip(*seen, strict=True)]
        seen.append((k, v))
        over: Attend = plain_attend([(known[0], known[1])])
        return over(q, k, v, layer)

    for k in range(model.config.block_size):
        place = torch.tensor([length + k])
        feature = backbone.step(model.token_inputs(token), feature, place, attend)
        token = model.to_target_ids(model.base_logits(backbone.hidden(feature)).argmax(-1))
        drafts.append(int(token))
    return drafts


def fill(
    drafter: ChainDrafter, hidden: Tensor, tokens: Tensor, blocks: list[int], parts: list[int]
):
    first = 0
    for count in parts:
        end = first + count
        slots, before = context_slots(blocks, first, end, BLOCK_TOKENS)
        rows = ContextRows.of(tokens[first:end].tolist(), range(first, end), slots, before, CPU)
        drafter.append(hidden[first:end], rows)
        first = end


@pytest.mark.parametrize("family", ["eagle3", "mtp"])
def test_paged_and_batched_equals_the_plain_modules(family: str) -> None:
    torch.manual_seed(2)
    contexts = [(torch.randn(n, 64), torch.randint(0, VOCAB, (n + 1,))) for n in (40, 1, 25)]
    expected = [reference(make_model(family), hidden, tokens) for hidden, tokens in contexts]
    drafter = make_drafter(family)
    tables = [[0, 1, 2], [9], [20, 4, 17]]
    requests = []
    for (hidden, tokens), table in zip(contexts, tables, strict=True):
        length = hidden.shape[0]
        fill(drafter, hidden, tokens, table, [length - length // 3, length // 3])
        requests.append(DraftRequest(int(tokens[-1]), length, table, GREEDY, None))
    together = drafter.propose(requests)
    alone = [drafter.propose([request])[0] for request in requests]
    for proposals in (together, alone):
        assert [proposal.token_ids for proposal in proposals] == expected
        assert all(proposal.probs is None for proposal in proposals)
        assert {proposal.source for proposal in proposals} == {family}
    fewer = drafter.propose(requests, 1)
    assert [proposal.token_ids for proposal in fewer] == [tokens[:1] for tokens in expected]


def test_what_is_kept_of_a_token_does_not_depend_on_the_next_one() -> None:
    torch.manual_seed(3)
    hidden, tokens = torch.randn(32, 64), torch.randint(0, VOCAB, (33,))
    other = tokens.clone()
    other[16:] = (other[16:] + 1) % VOCAB
    both = [make_drafter("eagle3") for _ in range(2)]
    fill(both[0], hidden, tokens, [0, 1, 2], [32])
    fill(both[1], hidden, other, [0, 1, 2], [32])
    for ours, theirs in zip(both[0]._pool().drafter, both[1]._pool().drafter, strict=True):
        assert torch.equal(ours.k[:, :16], theirs.k[:, :16])
        assert torch.equal(ours.v[:, :16], theirs.v[:, :16])
    # A second request goes on behind the first one's block and drafts what it would have alone.
    fill(both[1], hidden, tokens, [3, 4, 5], [32])
    slots, before = context_slots([3, 7], 16, 32, BLOCK_TOKENS)
    rows = ContextRows.of(tokens[16:32].tolist(), range(16, 32), slots, before, CPU)
    both[1].append(hidden[16:32], rows)
    request = [
        DraftRequest(int(tokens[-1]), 32, table, GREEDY, None) for table in ([3, 7, 8], [3, 4, 5])
    ]
    shared, alone = both[1].propose(request)
    assert shared.token_ids == alone.token_ids == reference(make_model("eagle3"), hidden, tokens)


def test_sampled_drafts_carry_the_distributions_they_came_from() -> None:
    drafter = make_drafter("eagle3")
    hidden, tokens = torch.randn(20, 64), torch.randint(0, VOCAB, (21,))
    fill(drafter, hidden, tokens, [0, 1], [20])
    sampling = SamplingParams(temperature=0.7, top_k=20)
    sampled = DraftRequest(int(tokens[-1]), 20, [0, 1], sampling, make_generator(4))
    first = drafter.propose([sampled])[0]
    assert first.probs is not None
    assert first.probs.rows.shape == (5, DRAFTABLE)
    torch.testing.assert_close(first.probs.rows.sum(-1), torch.ones(5))
    assert (first.probs.rows > 0).sum(-1).max() <= 20
    assert bool((first.probs.chosen > 0).all())
