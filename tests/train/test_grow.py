"""A drafter that grows says what it said before."""

from __future__ import annotations

import pytest
import torch

from agentspark.dspark.model import DraftModel
from agentspark.train.config import DrafterShape
from agentspark.train.grow import grown
from agentspark.train.loss import column_map
from tests.dspark.small import VOCAB, pruned, small_config, small_drafter, small_model


def counts(*frequent: int) -> torch.Tensor:
    found = torch.zeros(VOCAB, dtype=torch.float64)
    found[list(frequent)] = 1.0
    return found


def logits(model: DraftModel, hidden: torch.Tensor, prev: torch.Tensor) -> torch.Tensor:
    """Logits of one slot over all target tokens, ``-inf`` where there are none."""
    embed, head = torch.randn(2, VOCAB, 32, generator=torch.Generator().manual_seed(1))
    model.attach_target(embed, head)
    out = torch.full((prev.numel(), VOCAB), -torch.inf)
    columns = column_map(model)
    drafted = model.base_logits(hidden)
    if model.markov_head is not None:
        drafted = drafted + model.markov_head.step(prev, hidden, None)[0]
    out[:, columns >= 0] = drafted[:, columns[columns >= 0]]
    return out


@pytest.mark.parametrize(
    "config",
    [
        pruned(20),
        small_config(draft_vocab_size=20),
        pruned(20, markov_head_type="gated"),
        small_config(
            draft_vocab_size=20,
            markov_rank=0,
            enable_confidence_head=False,
            confidence_head_with_markov=False,
        ),
    ],
)
@torch.no_grad()
def test_tokens_are_added_and_those_of_before_stay_as_they_were(config):
    before = small_model(config)
    hidden, prev = torch.randn(VOCAB, 32), torch.arange(VOCAB)
    old = logits(before, hidden, prev)
    missing = [t for t in range(VOCAB) if t not in before.draft_token_ids.tolist()]
    shape = DrafterShape.of(config.family, draft_vocab_size=23)
    larger = grown(before, shape, counts(*missing[3:6]))
    assert larger.config.draft_vocab_size == 23
    added = set(larger.draft_token_ids.tolist()) - set(before.draft_token_ids.tolist())
    assert added == set(missing[3:6])
    new = logits(larger, hidden, prev)
    kept = torch.isfinite(old)
    assert torch.equal(new[kept], old[kept])
    assert torch.isfinite(new[:, missing[3:6]]).all()
    assert not torch.isfinite(new[:, missing[:3]]).any()
    if before.markov_head is not None:
        # The new ones' bias is the others' mean.
        given = logits(larger, torch.zeros_like(hidden), prev)
        rest = given[:, before.draft_token_ids].mean(dim=1)
        torch.testing.assert_close(given[:, missing[3]], rest)
        assert torch.equal(larger.markov_head.previous(prev), before.markov_head.previous(prev))


@torch.no_grad()
def test_blocks_grow_without_a_change_of_weights():
    before = small_drafter(pruned(20))
    after = grown(before, DrafterShape.of("dspark", block_size=6), counts())
    assert after.config.block_size == 6
    inputs = after.block_inputs(torch.tensor([5]))
    assert inputs.shape[0] == 6
    assert after.draft_token_ids is before.draft_token_ids


@pytest.mark.parametrize("size", [10, 0, VOCAB, VOCAB + 9, None])
def test_no_vocabulary_is_made_smaller_or_whole(size):
    before = small_model(pruned(20))
    assert grown(before, DrafterShape.of("dspark", draft_vocab_size=size), counts()) is before
