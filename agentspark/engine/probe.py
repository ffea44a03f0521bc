"""Does exact mode hold here? Asked of the real model on the real kernels, once, at load."""

from __future__ import annotations

import torch

from agentspark.engine.runner import FlatRows, TargetRunner
from agentspark.kv.blocks import BlockPool

_TOKENS = 44
# How the same tokens are cut into forwards: all at once, an anchor alone, an anchor with drafts.
_CUTS = ((_TOKENS,), (29, 1, 8, 1, 5))


def rows_are_exact(runner: TargetRunner, pool: BlockPool, vocab_size: int) -> bool:
    """Whether logits have the same bits however the tokens are cut into forwards.

    Exact mode rests on properties of the matrix and attention kernels that a library update or
    another processor may not have; this looks instead of hoping.
    """
    generator = torch.Generator().manual_seed(0)
    tokens: list[int] = torch.randint(vocab_size, (_TOKENS,), generator=generator).tolist()
    count = -(-_TOKENS // pool.block_tokens)
    if count > pool.free_blocks:
        return False
    blocks = pool.allocate(count)
    try:
        whole, cut = (_logits(runner, tokens, blocks, cuts) for cuts in _CUTS)
        return torch.equal(whole, cut)
    finally:
        pool.release(blocks)


def _logits(
    runner: TargetRunner, tokens: list[int], blocks: list[int], cuts: tuple[int, ...]
) -> torch.Tensor:
    parts, done = [], 0
    for count in cuts:
        rows = FlatRows()
        rows.add(tokens[done : done + count], done, blocks)
        rows.logit_rows = list(range(count))
        parts.append(runner.forward(rows).logits)
        done += count
    return torch.cat(parts)
