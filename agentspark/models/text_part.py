"""Multimodal checkpoints whose language model is a model of its own: only that part is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# The types of Gemma 4's language models.
GEMMA4_TYPES = frozenset({"gemma4_text", "gemma4_unified_text"})

# By the wrapper's type: how the language model's weights are called there, and by themselves.
_PARTS: dict[str, dict[str, str]] = {
    "gemma4": {r"^model\.language_model\.": "model."},
    "gemma4_unified": {r"^model\.language_model\.": "model."},
}


def text_part(config: PreTrainedConfig) -> tuple[PreTrainedConfig, dict[str, str] | None]:
    """Return the language model's config and its weights' renaming; others come back unchanged.

    Images and sounds cannot be read then, as no other model here can.
    """
    renamed = _PARTS.get(config.model_type)
    return (config, None) if renamed is None else (config.get_text_config(), renamed)
