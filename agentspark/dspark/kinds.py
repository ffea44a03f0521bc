"""Which drafters there are, by name."""

from __future__ import annotations

from typing import Literal, get_args

HeadType = Literal["vanilla", "gated", "rnn"]
Family = Literal["dspark", "dflash", "eagle3", "mtp"]
Backbone = Literal["qwen3", "gemma4"]

HEAD_TYPES: tuple[HeadType, ...] = get_args(HeadType)
BACKBONES: tuple[Backbone, ...] = get_args(Backbone)
# Families that draft one token after the other (``chain.py``).
CHAINS: frozenset[Family] = frozenset(("eagle3", "mtp"))
