"""Masks of a grammar on a drafter's logits, whole and pruned vocabularies."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from agentspark.drafting.masked import mask_logits
from agentspark.sampling import bits
from agentspark.sampling.bits import Bits

VOCAB = 50


class Only:
    """Allows ``tokens`` and nothing else; ``None`` is no mask."""

    def __init__(self, tokens: Sequence[int] | None) -> None:
        self._tokens = tokens

    def row(self) -> Bits | None:
        if self._tokens is None:
            return None
        row = bits.all_allowed(1, VOCAB)
        bits.clear(row, 1, [token for token in range(VOCAB) if token not in self._tokens])
        return row

    def push(self, token: int) -> None:
        raise AssertionError("masking does not go on")


@pytest.mark.parametrize(
    ("pruned", "columns"),
    [(None, [3, 40, 49]), ([40, 7, 3, 48], [0, 2])],
    ids=["whole", "pruned"],
)
def test_only_what_may_come_keeps_its_logit(pruned: list[int] | None, columns: list[int]) -> None:
    ids = None if pruned is None else torch.tensor(pruned)
    logits = torch.randn(3, VOCAB if pruned is None else len(pruned))

    masked = mask_logits(logits, [Only([3, 40, 49]), None, Only(None)], ids)

    assert masked[0].isfinite().nonzero().flatten().tolist() == columns
    assert torch.equal(masked[0, columns], logits[0, columns])
    assert torch.equal(masked[1:], logits[1:])


def test_a_row_of_which_nothing_would_be_left_stays() -> None:
    logits = torch.randn(1, 2)

    assert torch.equal(mask_logits(logits, [Only([3])], torch.tensor([4, 5])), logits)
