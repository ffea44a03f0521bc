"""Which drafters there are, by name, and what all of a family have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

HeadType = Literal["vanilla", "gated", "rnn"]
Family = Literal["dspark", "dflash", "eagle3", "mtp"]
Backbone = Literal["qwen3", "gemma4"]

HEAD_TYPES: tuple[HeadType, ...] = get_args(HeadType)
BACKBONES: tuple[Backbone, ...] = get_args(Backbone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What is true of every drafter of a family.

    ``title`` is its name in texts, ``architecture`` what its checkpoints call themselves. A
    ``chain`` drafts one token after the other with a single layer (``chain.py``; its files are laid
    out as this library writes them), the others a block at once. ``heads``: it has a sequential
    head, may have a confidence head, and layers of any backbone. ``anchor_apart``: the anchor may
    go in beside the slots that predict. ``most_drafts`` bounds a block, ``None`` does not.
    """

    title: str
    architecture: str
    chain: bool = False
    heads: bool = False
    anchor_apart: bool = False
    most_drafts: int | None = None


KINDS: dict[Family, Kind] = {
    "dspark": Kind(title="DSpark", architecture="Qwen3DSparkModel", heads=True),
    "dflash": Kind(title="DFlash", architecture="DFlashDraftModel", anchor_apart=True),
    "eagle3": Kind(title="Eagle3", architecture="AgentsparkEagle3Model", chain=True),
    "mtp": Kind(title="MTP-style", architecture="AgentsparkMTPModel", chain=True, most_drafts=1),
}
