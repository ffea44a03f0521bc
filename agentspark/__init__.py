"""Faster, cheaper model calls for agents on a machine their user owns, accounted step by step.

The names below are loaded on first use, so that ``import agentspark`` does not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentspark.config import EngineConfig
    from agentspark.engine.chat_format import ChatFormat
    from agentspark.engine.engine import Engine
    from agentspark.engine.params import Labels, RequestOptions
    from agentspark.engine.result import Completion
    from agentspark.sampling.params import SamplingParams

__version__ = "0.1.0"

__all__ = [
    "ChatFormat",
    "Completion",
    "Engine",
    "EngineConfig",
    "Labels",
    "RequestOptions",
    "SamplingParams",
    "__version__",
]

_HOMES = {
    "ChatFormat": "agentspark.engine.chat_format",
    "Completion": "agentspark.engine.result",
    "Engine": "agentspark.engine.engine",
    "EngineConfig": "agentspark.config",
    "Labels": "agentspark.engine.params",
    "RequestOptions": "agentspark.engine.params",
    "SamplingParams": "agentspark.sampling.params",
}


def __getattr__(name: str) -> object:
    """Load an exported name from its room, once."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'agentspark' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The exported names, loaded or not."""
    return sorted({*globals(), *__all__})
