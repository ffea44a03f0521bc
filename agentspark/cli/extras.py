"""Packages of optional extras: asked for before a command starts, and named where missing."""

from __future__ import annotations

from importlib.util import find_spec

from agentspark.errors import ConfigError


def require(extra: str, *modules: str) -> None:
    """Raise ``ConfigError`` naming the ``extra`` to install where one of ``modules`` is missing."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise ConfigError(
            f"This command needs {', '.join(missing)}: install it with "
            f"pip install 'agentspark[{extra}]'."
        )
