"""How many drafts requests get in company."""

from __future__ import annotations

import pytest
import torch

from agentspark.drafting.depth import usual_drafts

CPU = torch.device("cpu")


@pytest.mark.parametrize(("requests", "drafts"), [(1, 5), (3, 5), (4, 4), (5, 3), (8, 2), (64, 2)])
def test_fewer_the_more_requests_there_are(requests: int, drafts: int) -> None:
    assert usual_drafts(requests, 5, CPU) == drafts


def test_never_more_than_a_block_and_always_that_on_a_gpu() -> None:
    assert usual_drafts(64, 1, CPU) == 1
    assert usual_drafts(1, 7, CPU) == 7
    assert usual_drafts(64, 7, torch.device("cuda")) == 7
