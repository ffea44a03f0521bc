"""Lets LangChain read back what it wrote down of a ``ChatDSpark``.

langchain-core revives only classes on its allow-list, which names the packages of LangChain's own
repository; any other package has to add itself. Callers still opt in, by the namespace:
``load(written, allowed_objects="all", valid_namespaces=["langchain_dspark"])``.
"""

from __future__ import annotations

from langchain_core.load.load import ALL_SERIALIZABLE_MAPPINGS
from langchain_core.load.serializable import Serializable


def allow_reading(kind: type[Serializable]) -> None:
    """Put ``kind`` on the allow-list under its own path."""
    path = tuple(kind.lc_id())
    ALL_SERIALIZABLE_MAPPINGS.setdefault(path, path)
