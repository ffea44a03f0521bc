"""One draft layer in Gemma 4's style.

Each part is normed before and after, values are normed too and may be the keys' projection, and
scores are not scaled. Layout and tensor names are those of DeepSpec's ``Gemma4DSparkModel``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from agentspark.dspark.config import DrafterConfig
from agentspark.dspark.layer import Attend, DraftAttention, DraftLayer
from agentspark.dspark.rope import rotate


class Gemma4Attention(DraftAttention):
    """Projections and norms of one layer's attention; without ``v_proj`` where keys are values."""

    def __init__(self, config: DrafterConfig) -> None:
        super().__init__(config)
        if config.attention_k_eq_v:
            self.v_proj = None
        self.v_norm = nn.RMSNorm(self.head_dim, eps=config.rms_norm_eps, elementwise_affine=False)

    def query(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return queries ``[H, T, D]`` of ``x [T, width]``, so large that scaling leaves scores."""
        return super().query(x, cos, sin) * math.sqrt(self.head_dim)

    def key_value(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values ``[Hkv, T, D]`` of ``x [T, width]``."""
        projected = self.k_proj(x).view(-1, self.kv_heads, self.head_dim)
        k = self.k_norm(projected)
        if self.v_proj is not None:
            projected = self.v_proj(x).view(-1, self.kv_heads, self.head_dim)
        v = self.v_norm(projected)
        return rotate(k.transpose(0, 1), cos, sin), v.transpose(0, 1)


class Gemma4Layer(DraftLayer):
    """One draft layer; ``layer_scalar`` scales what it passes on and is not trained."""

    layer_scalar: Tensor

    def __init__(self, config: DrafterConfig, index: int) -> None:
        super().__init__(config, index)
        d, eps = config.hidden_size, config.rms_norm_eps
        self.self_attn = Gemma4Attention(config)
        self.pre_feedforward_layernorm = nn.RMSNorm(d, eps=eps)
        self.post_feedforward_layernorm = nn.RMSNorm(d, eps=eps)
        self.register_buffer("layer_scalar", torch.ones(1))

    def forward_block(self, x: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
        """Run block tokens ``x [T, d]`` (any number of blocks, flattened) through the layer."""
        normed = self.input_layernorm(x)
        q = self.self_attn.query(normed, cos, sin)
        k, v = self.self_attn.key_value(normed, cos, sin)
        out = attend(q, k, v, self.index).transpose(0, 1).reshape(x.shape[0], -1)
        x = x + self.post_attention_layernorm(self.self_attn.o_proj(out))
        fed = self.mlp(self.pre_feedforward_layernorm(x))
        result: Tensor = (x + self.post_feedforward_layernorm(fed)) * self.layer_scalar
        return result
