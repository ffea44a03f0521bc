"""A drafter that drafts one token after the other: Eagle3, and an MTP-style single step.

One layer reads, for a position ``j``, the embedding of token ``j`` and the *feature* of position
``j - 1``: the target's states there, projected to the hidden size, or in the steps of a chain the
layer's own output of the step before (Eagle3; Li et al. 2025). Its output is the next step's
feature and, normed, what the frozen LM head reads.

- ``eagle3``: queries, keys and values come from both side by side, ``[norm(e); norm(g)]`` of
  width ``2 d``; the feature is the residual stream.
- ``mtp``: both are projected to one state of width ``d`` first, which an ordinary layer reads, as
  in DeepSeek-V3's multi-token prediction.

The pair is indexed by its token's position (others index it by its feature's). All rotary
positions shift alike, so nothing changes, except that what is kept for position ``j`` depends on
tokens up to ``j`` alone: then it may be shared with every request that has these tokens. The
feature before position 0 is zero.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agentspark.dspark.config import DrafterConfig
from agentspark.dspark.layer import Attend, DraftAttention, DraftMLP
from agentspark.dspark.rope import Rotary


class ChainBackbone(nn.Module):
    """The layer of a chain, with what leads into and out of it."""

    def __init__(self, config: DrafterConfig) -> None:
        super().__init__()
        d, eps = config.hidden_size, config.rms_norm_eps
        projected = config.family == "mtp"
        self.fc = nn.Linear(config.feature_size, d, bias=False)
        self.embed_norm = nn.RMSNorm(d, eps=eps)
        self.hidden_norm = nn.RMSNorm(d, eps=eps)
        self.eh_proj = nn.Linear(2 * d, d, bias=False) if projected else None
        self.input_layernorm = nn.RMSNorm(d, eps=eps) if projected else None
        self.self_attn = DraftAttention(config, d if projected else 2 * d)
        self.post_attention_layernorm = nn.RMSNorm(d, eps=eps)
        self.mlp = DraftMLP(config)
        self.norm = nn.RMSNorm(d, eps=eps)
        self.rotary = Rotary(config)

    def features(self, hidden: Tensor) -> Tensor:
        """Return ``g [T, d]`` of the concatenated target states ``hidden [T, m * d]``."""
        out: Tensor = self.fc(hidden)
        return out

    def key_value(
        self, embedded: Tensor, before: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return ``k, v [Hkv, T, D]`` of tokens ``embedded [T, d]`` at ``positions [T]``.

        ``before [T, d]`` are the features of the positions before theirs.
        """
        _, x = self._enter(embedded, before)
        cos, sin = self.rotary(positions, x.dtype)
        return self.self_attn.key_value(x, cos, sin)

    def step(self, embedded: Tensor, before: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """Return the features ``[T, d]`` of one step; arguments as in ``key_value``."""
        stream, x = self._enter(embedded, before)
        cos, sin = self.rotary(positions, x.dtype)
        q = self.self_attn.query(x, cos, sin)
        k, v = self.self_attn.key_value(x, cos, sin)
        out = attend(q, k, v, 0)
        stream = stream + self.self_attn.o_proj(out.transpose(0, 1).reshape(x.shape[0], -1))
        result: Tensor = stream + self.mlp(self.post_attention_layernorm(stream))
        return result

    def hidden(self, features: Tensor) -> Tensor:
        """Return what the LM head reads, ``[T, d]``, of a step's features."""
        out: Tensor = self.norm(features)
        return out

    def _enter(self, embedded: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return the residual stream ``[T, d]`` and what attention reads ``[T, width]``."""
        pair = torch.cat((self.embed_norm(embedded), self.hidden_norm(before)), dim=-1)
        if self.eh_proj is None or self.input_layernorm is None:
            return before, pair
        stream = self.eh_proj(pair)
        return stream, self.input_layernorm(stream)
