"""The confidence head: how likely a draft survives, given that all before it did."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agentspark.dspark.config import DrafterConfig


class ConfidenceHead(nn.Module):
    """One logit from a slot's hidden state and, where so configured, ``W1`` of the token before."""

    def __init__(self, config: DrafterConfig) -> None:
        super().__init__()
        self.with_markov = config.confidence_head_with_markov
        width = config.hidden_size + (config.markov_rank if self.with_markov else 0)
        self.proj = nn.Linear(width, 1)

    def forward(self, hidden: Tensor, previous: Tensor | None) -> Tensor:
        """Return logits ``[...]`` in float32 for ``hidden [..., d]`` and ``previous [..., r]``.

        ``previous`` is ``MarkovHead.previous`` of the tokens before; unused (may be ``None``)
        where the head was built without it.
        """
        if self.with_markov:
            if previous is None:
                raise ValueError("this confidence head reads the previous tokens' embeddings")
            hidden = torch.cat((hidden, previous), dim=-1)
        out: Tensor = self.proj(hidden).squeeze(-1).float()
        return out
