"""The parallel stage: draft layers that read a block of tokens and the target's hidden states.

Layout and tensor names are those of DeepSpec's ``Qwen3DSparkModel`` and ``Gemma4DSparkModel``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agentspark.dspark.config import DrafterConfig
from agentspark.dspark.gemma4 import Gemma4Layer
from agentspark.dspark.layer import Attend, DraftLayer
from agentspark.dspark.rope import Rotary


class DraftBackbone(nn.Module):
    """All draft layers and the projection of the target's hidden states."""

    def __init__(self, config: DrafterConfig) -> None:
        super().__init__()
        self.fc = nn.Linear(config.feature_size, config.hidden_size, bias=False)
        self.hidden_norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        kind = Gemma4Layer if config.backbone == "gemma4" else DraftLayer
        self.layers = nn.ModuleList(
            kind(config, index) for index in range(config.num_hidden_layers)
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
