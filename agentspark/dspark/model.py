"""A whole drafter: backbone, sequential head, confidence head, and the target's two matrices.

``DSparkModel`` drafts blocks in parallel (DSpark; DFlash is the same without heads),
``ChainModel`` one token after the other (Eagle3, MTP). What they share is ``DraftModel``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agentspark.dspark.backbone import DraftBackbone
from agentspark.dspark.capping import capped
from agentspark.dspark.chain import ChainBackbone
from agentspark.dspark.confidence import ConfidenceHead
from agentspark.dspark.config import DrafterConfig
from agentspark.dspark.heads import MarkovHead, build_head
from agentspark.errors import DrafterFormatError


class DraftModel(nn.Module):
    """What every family's drafter has.

    ``embed`` ``[V, d]`` and ``lm_head`` ``[V_draft, d]`` are the target's, frozen, and belong to
    no checkpoint: ``attach_target`` fills them. ``draft_token_ids [V_draft]`` maps a column of
    the draft logits to a target token; ``None`` where every token can be drafted.
    """

    backbone: DraftBackbone | ChainBackbone
    markov_head: MarkovHead | None
    confidence_head: ConfidenceHead | None
    embed: Tensor | None
    lm_head: Tensor | None
    draft_token_ids: Tensor | None

    def __init__(self, config: DrafterConfig, backbone: DraftBackbone | ChainBackbone) -> None:
        super().__init__()
        self.config = config
        self.backbone = backbone
        self.markov_head = build_head(config)
        self.confidence_head = ConfidenceHead(config) if config.enable_confidence_head else None
        self.register_buffer("embed", None, persistent=False)
        self.register_buffer("lm_head", None, persistent=False)
        self.register_buffer("draft_token_ids", None, persistent=False)

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
        return self.capped(hidden @ self.lm_head.t())

    def capped(self, logits: Tensor) -> Tensor:
        """Return the head's logits as the target has them: capped, where it caps its own."""
        return capped(logits, self.config.final_logit_softcapping)

    def token_inputs(self, tokens: Tensor) -> Tensor:
        """Return the embeddings ``[T, d]`` of ``tokens [T]``."""
        if self.embed is None:
            raise ValueError("attach_target must be called before tokens are embedded")
        embedded = self.embed[tokens]
        if self.config.backbone == "gemma4":
            # Rounded to the weights' dtype, as Gemma does.
            embedded = embedded * embedded.new_tensor(self.config.hidden_size**0.5)
        return embedded

    def to_target_ids(self, columns: Tensor) -> Tensor:
        """Map columns of the draft logits to target token ids."""
        return columns if self.draft_token_ids is None else self.draft_token_ids[columns]


class DSparkModel(DraftModel):
    """A drafter that fills the slots of a block in one pass."""

    backbone: DraftBackbone

    def __init__(self, config: DrafterConfig, draft_token_ids: Tensor | None = None) -> None:
        super().__init__(config, DraftBackbone(config))
        self._set_draft_tokens(draft_token_ids)

    def block_inputs(self, anchors: Tensor, drafts: int | None = None) -> Tensor:
        """Return embeddings ``[N * slots, d]`` of ``[x0, MASK, ...]`` for ``anchors [N]``.

        A block has ``drafts`` of its ``block_size`` drafts (``None``: all), the first ones.
        """
        tokens = anchors.new_full((anchors.numel(), self.block_slots(drafts)), self.mask_token)
        tokens[:, 0] = anchors
        return self.token_inputs(tokens.flatten())

    def drafting_slots(self, hidden: Tensor, drafts: int | None = None) -> Tensor:
        """Return the states ``[N, drafts, d]`` that drafts come from.

        ``hidden [N * slots, d]`` are all states; an anchor that only leads is left out.
        """
        slots, size = self.block_slots(drafts), drafts or self.config.block_size
        return hidden.view(-1, slots, hidden.shape[-1])[:, slots - size :]

    def block_slots(self, drafts: int | None) -> int:
        """Return how many tokens go into a block of ``drafts`` drafts."""
        return self.config.slots - self.config.block_size + (drafts or self.config.block_size)

    @property
    def mask_token(self) -> int:
        """The token that stands in every slot but the anchor's."""
        return self.config.mask_token_id


class ChainModel(DraftModel):
    """A drafter that feeds each draft back to itself."""

    backbone: ChainBackbone

    def __init__(self, config: DrafterConfig, draft_token_ids: Tensor | None = None) -> None:
        super().__init__(config, ChainBackbone(config))
        self._set_draft_tokens(draft_token_ids)


def build_model(config: DrafterConfig, draft_token_ids: Tensor | None = None) -> DraftModel:
    """Return the model of a config's family, its weights not set yet."""
    made = ChainModel if config.kind.chain else DSparkModel
    return made(config, draft_token_ids)
