"""The parallel stage: draft layers that read a block of tokens and the target's hidden states.

Layout and tensor names are those of DeepSpec's ``Qwen3DSparkModel``. Queries come from the block
alone; keys and values come from the block and from the context features, through the same
projections. How a query meets its keys is the caller's: inference attends over paged memory,
training over many packed blocks.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agentspark.dspark.config import DrafterConfig
from agentspark.dspark.rope import Rotary, rotate


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
        v = self.v_proj(x).view(-1, self.kv_heads, self.head_dim)
        return rotate(k.transpose(0, 1), cos, sin), v.transpose(0, 1)


class DraftMLP(nn.Module):
    """The gated feed-forward part of a draft layer."""

    def __init__(self, config: DrafterConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[T, d]`` to ``[T, d]``."""
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
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


class DraftBackbone(nn.Module):
    """All draft layers and the projection of the target's hidden states."""

    def __init__(self, config: DrafterConfig) -> None:
        super().__init__()
        self.fc = nn.Linear(config.feature_size, config.hidden_size, bias=False)
        self.hidden_norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.layers = nn.ModuleList(
            DraftLayer(config, index) for index in range(config.num_hidden_layers)
        )
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.rotary = Rotary(config)

    def context_features(self, hidden: Tensor) -> Tensor:
        """Return ``H [T, d]`` for the concatenated target states ``hidden [T, m * d]``."""
        features: Tensor = self.hidden_norm(self.fc(hidden))
        return features

    def context_kv(self, features: Tensor, positions: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return every layer's ``k, v [Hkv, T, D]`` of context ``features [T, d]``."""
        cos, sin = self.rotary(positions, features.dtype)
        return [layer.context_kv(features, cos, sin) for layer in self.draft_layers()]

    def block_hidden(self, x: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """Return the normed hidden states ``[T, d]`` of block embeddings ``x [T, d]``.

        ``positions [T]`` are the tokens' positions in their sequences.
        """
        cos, sin = self.rotary(positions, x.dtype)
        for layer in self.draft_layers():
            x = layer.forward_block(x, cos, sin, attend)
        out: Tensor = self.norm(x)
        return out

    def draft_layers(self) -> list[DraftLayer]:
        """Return the layers, typed."""
        return [layer for layer in self.layers if isinstance(layer, DraftLayer)]


def plain_attend(context: list[tuple[Tensor, Tensor]]) -> Attend:
    """Return the attention of one block over its context, the simplest form of ``Attend``.

    ``context`` holds every layer's ``k, v [Hkv, C, D]``. The reference that the packed and the
    paged forms are tested against.
    """

    def attend(q: Tensor, k: Tensor, v: Tensor, layer: int, /) -> Tensor:
        past_k, past_v = context[layer]
        keys, values = torch.cat((past_k, k), dim=1), torch.cat((past_v, v), dim=1)
        return F.scaled_dot_product_attention(q[None], keys[None], values[None], enable_gqa=True)[0]

    return attend
