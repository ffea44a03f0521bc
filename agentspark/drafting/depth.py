"""How many drafts each request is worth drafting where the scheduler decides what is verified."""

from __future__ import annotations

import torch

# Of many streams few drafts are worth verifying, and a CPU computes row after row, so the slots of
# the others are paid for in vain. A shorter block's drafts are as good as a whole one's first ones:
# on dev prompts 42% and 41% of the first two are kept of blocks of two, 41% of both in blocks of
# five.
_DRAFT_ROWS, _FEWEST_DRAFTS = 16, 2


def usual_drafts(requests: int, block_size: int, device: torch.device) -> int:
    """Return how many drafts each of so many requests gets, at most a drafter's block.

    It goes by the number of requests alone, so it cannot bias what is drafted.
    """
    if device.type != "cpu":
        return block_size
    return min(block_size, max(_FEWEST_DRAFTS, _DRAFT_ROWS // max(requests, 1)))
