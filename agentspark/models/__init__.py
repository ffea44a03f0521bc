"""Finding and loading targets: hub ids, folders, GGUF files and the embedded default."""

from __future__ import annotations

from agentspark.models.cache import cache_folder
from agentspark.models.chat import ChatTokenizer
from agentspark.models.resolve import model_name, pull, resolve_target
from agentspark.models.spec import TargetSpec
from agentspark.models.target import Target, load_target
from agentspark.models.text_stream import TextStream

__all__ = [
    "ChatTokenizer",
    "Target",
    "TargetSpec",
    "TextStream",
    "cache_folder",
    "load_target",
    "model_name",
    "pull",
    "resolve_target",
]
