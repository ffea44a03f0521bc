"""Seeded sampling: the noise of an output position is fixed by the seed, whatever draws it.

A token drawn from probabilities ``p`` is ``argmax(p / e)`` with independent exponential ``e``: the
Gumbel-max trick. If ``e`` depends on the seed and the output position alone, the drawn tokens are
a function of the target's probabilities, so a seeded request says the same with and without
speculation, alone and in a batch, and again after it was preempted. A drafter that draws its drafts
with the same noise is right whenever both choose alike, which is nearly as often as the accept rule
for independent draws would keep them (Daliri et al. 2024, "Coupling without communication").
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from agentspark.recent import Recent

# Rows kept: a block of drafts is drawn and then verified with the same ones.
_KEPT = 32


class PositionNoise:
    """The noise of one request over ``vocab_size`` tokens."""

    def __init__(self, seed: int, vocab_size: int, device: torch.device | str = "cpu") -> None:
        self._seed = seed
        self._vocab_size = vocab_size
        self._device = torch.device(device)
        self._rows: Recent[int, Tensor] = Recent(_KEPT)

    def at(self, position: int) -> Tensor:
        """Exponential variates ``[V]`` of output position ``position`` (from 0)."""
        row = self._rows.get(position)
        if row is None:
            digest = hashlib.blake2b(f"{self._seed}/{position}".encode(), digest_size=8).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
            # Drawn on the CPU, so that every device gets the same numbers, from uniforms: torch's
            # own exponentials take longer, and may come out of a library that draws others.
            uniform = torch.rand(self._vocab_size, dtype=torch.float64, generator=generator)
            row = uniform.neg_().log1p_().neg_().to(torch.float32)
            row = row.clamp_(min=torch.finfo(torch.float32).tiny).to(self._device)
            self._rows.put(position, row)
        return row

    def choose(self, probs: Tensor, position: int, token_ids: Tensor | None = None) -> list[int]:
        """The token of each row of ``probs`` ``[R, V]``, for positions ``position ..``.

        ``token_ids`` ``[V']`` says which tokens the columns of a pruned vocabulary stand for; the
        result then are columns.
        """
        rows = [self.at(position + k) for k in range(probs.shape[0])]
        noise = torch.stack([row if token_ids is None else row[token_ids] for row in rows])
        chosen: list[int] = (probs / noise).argmax(dim=-1).tolist()
        return chosen
