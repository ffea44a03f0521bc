"""Packages of optional extras: asked for before a command starts, and named where missing."""

from __future__ import annotations

from importlib.util import find_spec

from agentspark.errors import ConfigError


def require(extra: str, *modules: str) -> None:
    """Raise ``ConfigError`` naming the ``extra`` to install where one of ``modules`` is missing."""
    missing = [module for module in modules if not _found(module)]
    if missing:
        raise ConfigError(
            f"This command needs {', '.join(missing)}: install it with "
            f"pip install 'agentspark[{extra}]'."
        )


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # what it is a part of is missing too
        return False
