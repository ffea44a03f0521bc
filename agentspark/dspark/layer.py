"""One draft layer in Qwen3's style: pre-norms, normed queries and keys, a gated feed-forward part.

Layout and tensor names are those of DeepSpec's ``Qwen3DSparkModel``. Queries come from the block
alone; keys and values come from the block and from the context features, through the same
projections. How a query meets its keys is the caller's: inference attends over paged memory,
training over many packed blocks.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn
from transformers.activations import ACT2FN

from agentspark.dspark.config import DrafterConfig
from agentspark.dspark.rope import rotate


class Attend(Protocol):
    """Attention of block queries over context and block keys, supplied by the caller."""

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, layer: int, /) -> Tensor:
        """Return ``[H, T, D]`` for ``q [H, T, D]`` and the block's own ``k, v [Hkv, T, D]``.

        All are rotated and normed; the scale ``D ** -0.5`` is the caller's to apply.
        """


class DraftAttention(nn.Module):
    """Projections and norms of one draft layer's attention.

    ``width`` is the size of what queries, keys and values are made from, ``hidden_size`` unless
    told.
    """

    v_proj: nn.Linear | None

    def __init__(self, config: DrafterConfig, width: int | None = None) -> None:
        super().__init__()
        d, bias = width or config.hidden_size, config.attention_bias
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = config.head_dim
        self.q_proj = nn.Linear(d, self.heads * self.head_dim, bias=bias)
        self.k_proj = nn.Linear(d, self.kv_heads * self.head_dim, bias=bias)
        self.v_proj = nn.Linear(d, self.kv_heads * self.head_dim, bias=bias)
        self.o_proj = nn.Linear(self.heads * self.head_dim, config.hidden_size, bias=bias)
        self.q_norm = nn.RMSNorm(self.head_dim, eps=config.rms_norm_eps)
        self.k_norm = nn.RMSNorm(self.head_dim, eps=config.rms_norm_eps)

    def query(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Return queries ``[H, T, D]`` of ``x [T, width]``."""
        q = self.q_norm(self.q_proj(x).view(-1, self.heads, self.head_dim))
        return rotate(q.transpose(0, 1), cos, sin)

    def key_value(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values ``[Hkv, T, D]`` of ``x [T, width]``."""
        k = self.k_norm(self.k_proj(x).view(-1, self.kv_heads, self.head_dim))
        assert self.v_proj is not None, "this style's values have a projection of their own"
        v = self.v_proj(x).view(-1, self.kv_heads, self.head_dim)
        return rotate(k.transpose(0, 1), cos, sin), v.transpose(0, 1)


class DraftMLP(nn.Module):
    """The gated feed-forward part of a draft layer."""

    def __init__(self, config: DrafterConfig) -> None:
        super().__init__()
        self.act = ACT2FN[config.hidden_act]
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[T, d]`` to ``[T, d]``."""
        out: Tensor = self.down_proj(self.act(self.gate_proj(x)) * self.up_proj(x))
        return out


class DraftLayer(nn.Module):
    """One draft layer."""

    def __init__(self, config: DrafterConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.self_attn = DraftAttention(config)
        self.mlp = DraftMLP(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)

    def context_kv(self, features: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """Return this layer's ``k, v [Hkv, T, D]`` of context ``features [T, d]``.

        The features are already normed, so the layer's input norm is not applied to them.
        """
        return self.self_attn.key_value(features, cos, sin)

    def forward_block(self, x: Tensor, cos: Tensor, sin: Tensor, attend: Attend) -> Tensor:
        """Run block tokens ``x [T, d]`` (any number of blocks, flattened) through the layer."""
        normed = self.input_layernorm(x)
        q = self.self_attn.query(normed, cos, sin)
        k, v = self.self_attn.key_value(normed, cos, sin)
        out = attend(q, k, v, self.index)
        x = x + self.self_attn.o_proj(out.transpose(0, 1).reshape(x.shape[0], -1))
        result: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return result
