"""Where agentspark keeps what it made once and can make again."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

ENVIRONMENT = "AGENTSPARK_CACHE"


def cache_folder(cache_dir: Path | None = None) -> Path:
    """The cache folder: ``cache_dir``, else ``$AGENTSPARK_CACHE``, else the platform's own.

    The folder need not exist yet.
    """
    if cache_dir is not None:
        return Path(cache_dir).expanduser()
    named = os.environ.get(ENVIRONMENT)
    return Path(named).expanduser() if named else user_cache_path("agentspark", appauthor=False)
