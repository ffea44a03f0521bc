"""LangChain's chat model over agentspark's engine: ``from langchain_dspark import ChatDSpark``.

Importing this package is instant; ``ChatDSpark`` brings in langchain-core when it is first named,
and torch only when a model is first called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_dspark.chat_model import ChatDSpark

__all__ = ["ChatDSpark"]

# What the extra brings.
_EXTRA = ("httpx", "langchain_core", "tenacity")


def __getattr__(name: str) -> Any:
    if name == "ChatDSpark":
        try:
            from langchain_dspark.chat_model import ChatDSpark
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in _EXTRA:
                raise
            raise ImportError(
                f"ChatDSpark needs {package}: install it with pip install 'agentspark[langchain]'.",
                name=package,
            ) from error

        return ChatDSpark
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
