"""The paged drafter proposes what the plain modules propose, alone and in a batch."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import Tensor

from agentspark.drafting.drafter import ContextRows, DraftRequest
from agentspark.drafting.dspark import DSparkDrafter
from agentspark.dspark.backbone import plain_attend
from agentspark.dspark.calibration import Temperatures
from agentspark.dspark.config import DrafterConfig
from agentspark.dspark.model import DSparkModel
from agentspark.kv.batch import token_slots
from agentspark.kv.store import KVStore, LayerShape
from agentspark.models.prepack import PackedLinear, layout_of
from agentspark.sampling.draw import make_generator
from agentspark.sampling.params import SamplingParams

BLOCK_TOKENS, SIZE, VOCAB, DRAFTABLE = 16, 5, 120, 80
GREEDY = SamplingParams()


def make_model(head: str = "vanilla", rank: int = 6) -> DSparkModel:
    torch.manual_seed(1)
    config = DrafterConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=VOCAB,
        num_target_layers=4,
        target_layer_ids=(0, 2),
        mask_token_id=1,
        block_size=SIZE,
        markov_rank=rank,
        markov_head_type=head,  # type: ignore[arg-type]
        enable_confidence_head=True,
        confidence_head_with_markov=rank > 0,
        draft_vocab_size=DRAFTABLE,
    )
    model = DSparkModel(config, torch.randperm(VOCAB)[:DRAFTABLE])
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.attach_target(torch.randn(VOCAB, 32), torch.randn(VOCAB, 32))
    return model.eval().requires_grad_(False)


def make_drafter(model: DSparkModel) -> tuple[DSparkDrafter, KVStore]:
    shapes = [LayerShape(2, 8)] * 2
    store = KVStore(32, BLOCK_TOKENS, [], shapes, dtype=torch.float32, device=torch.device("cpu"))
    drafter = DSparkDrafter(model, Temperatures.ones(SIZE), "tiny")
    drafter.bind(store)
    return drafter, store


def reference(
    model: DSparkModel, features: Tensor, anchor: int, size: int = SIZE
) -> tuple[list[int], list[float]]:
    """One greedy block by the modules themselves, contexts held in plain tensors."""
    length = features.shape[0]
    context = model.backbone.context_kv(
        model.backbone.context_features(features), torch.arange(length)
    )
    # A shorter block is what a model of shorter blocks would be given.
    inputs = model.block_inputs(torch.tensor([anchor])).view(SIZE, -1)[:size]
    positions = torch.arange(length, length + size)
    hidden = model.backbone.block_hidden(inputs, positions, plain_attend(context))
    head, base = model.markov_head, model.base_logits(hidden)
    state = None if head is None else head.start(1)
    previous, tokens, survival, running = torch.tensor([anchor]), [], [], 1.0
    for k in range(size):
        logits = base[k : k + 1]
        before = None if head is None else head.previous(previous)
        assert model.confidence_head is not None
        running *= float(torch.sigmoid(model.confidence_head(hidden[k : k + 1], before)))
        if head is not None:
            bias, state = head.step(previous, hidden[k : k + 1], state)
            logits = logits + bias
        previous = model.to_target_ids(logits.argmax(-1))
        tokens.append(int(previous))
        survival.append(running)
    return tokens, survival


def fill(drafter: DSparkDrafter, features: Tensor, blocks: list[int], parts: list[int]) -> None:
    """Append a context in parts, as rounds do."""
    first = 0
    for count in parts:
        end = first + count
        slots = token_slots(blocks, first, end, BLOCK_TOKENS)
        rows = ContextRows.of([0] * count, range(first, end), slots, slots, torch.device("cpu"))
        drafter.append(features[first:end], rows)
        first = end


@pytest.mark.parametrize(
    ("head", "rank"), [("vanilla", 6), ("gated", 6), ("rnn", 6), ("vanilla", 0)]
)
def test_paged_and_batched_equals_the_plain_modules(head: str, rank: int) -> None:
    torch.manual_seed(2)
    contexts = [(torch.randn(n, 64), anchor) for n, anchor in ((40, 7), (3, 99), (25, 0))]
    expected = [reference(make_model(head, rank), features, a) for features, a in contexts]
    drafter, _ = make_drafter(make_model(head, rank))
    tables = [[0, 1, 2], [9], [20, 4, 17]]
    for (features, _), table in zip(contexts, tables, strict=True):
        length = features.shape[0]
        fill(drafter, features, table, [length - length // 3, length // 3])
    requests = [
        DraftRequest(anchor, features.shape[0], table, GREEDY, None)
        for (features, anchor), table in zip(contexts, tables, strict=True)
    ]
    together = drafter.propose(requests)
    alone = [drafter.propose([request])[0] for request in requests]
    for proposals in (together, alone):
        assert [proposal.token_ids for proposal in proposals] == [ids for ids, _ in expected]
        for proposal, (_, survival) in zip(proposals, expected, strict=True):
            assert proposal.survival == pytest.approx(survival, rel=1e-3)
            assert proposal.probs is None


@pytest.mark.parametrize("drafts", [1, 2, 4])
def test_shorter_blocks_equal_the_plain_modules(drafts: int) -> None:
    torch.manual_seed(3)
    contexts = [(torch.randn(5 + n, 64), n) for n in range(6)]
    expected = [reference(make_model("rnn"), features, a, drafts) for features, a in contexts]
    drafter, _ = make_drafter(make_model("rnn"))
    requests = []
    for features, anchor in contexts:
        table = [2 * anchor, 2 * anchor + 1]
        fill(drafter, features, table, [features.shape[0]])
        requests.append(DraftRequest(anchor, features.shape[0], table, GREEDY, None))
    proposals = drafter.propose(requests, drafts)
    for proposal, (tokens, survival) in zip(proposals, expected, strict=True):
        assert proposal.token_ids == tokens
        assert proposal.survival == pytest.approx(survival, rel=1e-3)


def test_sampled_drafts_carry_the_distributions_they_came_from() -> None:
    drafter, _ = make_drafter(make_model())
    features = torch.randn(20, 64)
    fill(drafter, features, [0, 1], [20])
    sampling = SamplingParams(temperature=0.7, top_k=20)
    sampled = DraftRequest(5, 20, [0, 1], sampling, make_generator(4))
    greedy = DraftRequest(5, 20, [0, 1], GREEDY, None)
    first, beside = drafter.propose([sampled, greedy])
    assert first.probs is not None
    assert beside.probs is None
    assert first.probs.rows.shape == (SIZE, DRAFTABLE)
    torch.testing.assert_close(first.probs.rows.sum(-1), torch.ones(SIZE))
    assert (first.probs.rows > 0).sum(-1).max() <= 20
    assert bool((first.probs.chosen > 0).all())
    again = drafter.propose([DraftRequest(5, 20, [0, 1], sampling, make_generator(4))])[0]
    assert again.token_ids == first.token_ids


def test_a_packed_head_takes_the_place_of_the_plain_one() -> None:
    model = make_model()
    assert model.lm_head is not None
    head, packs = weakref.ref(model.lm_head), layout_of(model, half=True) is not None
    make_drafter(model)
    assert (head() is None) == packs


def test_a_head_beyond_float16_is_not_squeezed_into_it() -> None:
    model = make_model()
    assert model.lm_head is not None
    model.lm_head[3, 4] = -1e5
    packs = layout_of(model, half=False) is not None
    drafter, _ = make_drafter(model)
    assert isinstance(drafter._lm_head, PackedLinear) == packs
