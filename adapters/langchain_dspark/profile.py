"""What LangChain may know of a target before it is loaded."""

from __future__ import annotations

import json
from pathlib import Path

from langchain_core.language_models.model_profile import ModelProfile

_CONTEXT = {"smollm2": 8192}


def profile_of(model: str) -> ModelProfile:
    """Capabilities of ``model``; ``max_input_tokens`` only where it is known without loading."""
    profile = ModelProfile(
        image_inputs=False,
        audio_inputs=False,
        video_inputs=False,
        text_inputs=True,
        text_outputs=True,
        tool_calling=True,
        tool_choice=True,
        structured_output=True,
    )
    context = _CONTEXT.get(model) or _context_in(Path(model))
    if context is not None:
        profile["max_input_tokens"] = context
    return profile


def _context_in(folder: Path) -> int | None:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found = config.get("max_position_embeddings") if isinstance(config, dict) else None
    return found if isinstance(found, int) else None
