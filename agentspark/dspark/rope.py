"""Rotary positions for the draft layers, with the target's parameters."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import Qwen3Config
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

from agentspark.dspark.config import DrafterConfig


class Rotary(nn.Module):
    """Cosines and sines of token positions, for every rope type that transformers knows."""

    def __init__(self, config: DrafterConfig) -> None:
        super().__init__()
        self.table = Qwen3RotaryEmbedding(
            Qwen3Config(
                hidden_size=config.hidden_size,
                num_attention_heads=config.num_attention_heads,
                head_dim=config.head_dim,
                max_position_embeddings=config.max_position_embeddings,
                rope_parameters=dict(config.rope_parameters),
            )
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Rotary:
        # Frequencies rounded to bfloat16 would turn late positions by wrong angles: a cast of the
        # drafter moves them to its device and leaves them in float32.
        kept = {name: buffer for name, buffer in self.table.named_buffers()}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, buffer in kept.items():
            setattr(self.table, name, buffer.to(getattr(self.table, name).device))
        return self

    def forward(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return ``cos, sin`` of shape ``[T, head_dim]`` for integer ``positions [T]``."""
        like = torch.empty(0, dtype=dtype, device=positions.device)
        cos, sin = self.table(like, positions[None])
        return cos[0], sin[0]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn ``x [heads, T, D]`` by the angles of ``cos, sin [T, D]`` (half-split layout)."""
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cos + turned * sin
