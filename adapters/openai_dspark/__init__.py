"""OpenAI's HTTP API over agentspark: a server for any client, and a thin client of its own.

``from openai_dspark import Client`` loads httpx and pydantic, nothing heavier; the server's parts
(``openai_dspark.server``) need the extra ``server`` and are loaded by ``agentspark serve``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openai_dspark.client import (
        AsyncClient,
        AsyncTracingTransport,
        Client,
        TracingTransport,
    )

__all__ = ["AsyncClient", "AsyncTracingTransport", "Client", "TracingTransport"]

# What the extra brings.
_EXTRA = ("httpx", "tenacity")


def __getattr__(name: str) -> Any:
    if name in __all__:
        try:
            value = getattr(import_module("openai_dspark.client"), name)
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in _EXTRA:
                raise
            raise ImportError(
                f"{name} needs {package}: install it with pip install 'agentspark[client]'.",
                name=package,
            ) from error
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
