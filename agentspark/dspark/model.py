"""A whole drafter: backbone, sequential head, confidence head, and the target's two matrices."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agentspark.dspark.backbone import DraftBackbone
from agentspark.dspark.confidence import ConfidenceHead
from agentspark.dspark.config import DrafterConfig
from agentspark.dspark.heads import build_head
from agentspark.errors import DrafterFormatError


class DSparkModel(nn.Module):
    """The modules of one drafter.

    ``embed`` ``[V, d]`` and ``lm_head`` ``[V_draft, d]`` are the target's, frozen, and belong to
    no checkpoint: ``attach_target`` fills them. ``draft_token_ids [V_draft]`` maps a column of
    the draft logits to a target token; ``None`` where every token can be drafted.
    """

    embed: Tensor | None
    lm_head: Tensor | None
    draft_token_ids: Tensor | None

    def __init__(self, config: DrafterConfig, draft_token_ids: Tensor | None = None) -> None:
        super().__init__()
        self.config = config
        self.backbone = DraftBackbone(config)
        self.markov_head = build_head(config)
        self.confidence_head = ConfidenceHead(config) if config.enable_confidence_head else None
        self.register_buffer("embed", None, persistent=False)
        self.register_buffer("lm_head", None, persistent=False)
        self.register_buffer("draft_token_ids", None, persistent=False)
        self._set_draft_tokens(draft_token_ids)

    def _set_draft_tokens(self, ids: Tensor | None) -> None:
        config = self.config
        if config.draft_vocab_size is None and ids is None:
            return
        if ids is None or ids.numel() != config.draft_vocab_size:
            raise DrafterFormatError(
                f"draft_vocab_size is {config.draft_vocab_size} but the checkpoint lists "
                f"{0 if ids is None else ids.numel()} draft tokens: it is broken."
            )
        ids = ids.to(torch.int64).cpu()
        bad = ids.numel() != ids.unique().numel() or ids.min() < 0
        if bad or ids.max() >= config.vocab_size:
            raise DrafterFormatError(
                "the drafter's list of draft tokens has repeated or unknown tokens: it is broken."
            )
        self.draft_token_ids = ids
        if self.markov_head is not None:
            self.markov_head.map_rows(ids)

    def attach_target(self, embed: Tensor, lm_head: Tensor) -> None:
        """Take the target's embedding and LM head, both ``[V, d]``; pruned rows are copied."""
        weight = self.backbone.fc.weight
        self.embed = embed.detach().to(weight.device, weight.dtype)
        rows = lm_head.detach().to(weight.device, weight.dtype)
        ids = self.draft_token_ids
        self.lm_head = rows if ids is None else rows[ids.to(rows.device)].contiguous()

    def base_logits(self, hidden: Tensor) -> Tensor:
        """Return ``U``, the frozen head's logits ``[..., V_draft]`` of ``hidden [..., d]``."""
        if self.lm_head is None:
            raise ValueError("attach_target must be called before logits are asked for")
        return hidden @ self.lm_head.t()

    def block_inputs(self, anchors: Tensor) -> Tensor:
        """Return embeddings ``[N * block_size, d]`` of ``[x0, MASK, ...]`` for ``anchors [N]``."""
        if self.embed is None:
            raise ValueError("attach_target must be called before blocks are embedded")
        tokens = anchors.new_full((anchors.numel(), self.config.block_size), self.mask_token)
        tokens[:, 0] = anchors
        return self.embed[tokens.flatten()]

    @property
    def mask_token(self) -> int:
        """The token that stands in every slot but the anchor's."""
        return self.config.mask_token_id

    def to_target_ids(self, columns: Tensor) -> Tensor:
        """Map columns of the draft logits to target token ids."""
        return columns if self.draft_token_ids is None else self.draft_token_ids[columns]
