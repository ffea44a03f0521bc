"""What a client keeps between calls."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from agentspark import __version__
from agentspark.errors import ConfigError

KEY_VARIABLE = "AGENTSPARK_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8000/v1"
_CONNECT_S = 10.0
_GRACE_S = 2.0


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """A server's address (with its ``/v1``), the key, and how patient to be."""

    base_url: str
    api_key: str | None = field(repr=False)
    timeout_s: float
    max_retries: int
    headers: Mapping[str, str]

    def __post_init__(self) -> None:
        """Refuse what cannot work (``ConfigError``)."""
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"base_url={self.base_url!r} is no address: give one like {DEFAULT_URL}."
            )
        if not self.timeout_s > 0 or self.max_retries < 0:
            raise ConfigError("timeout must be above 0 and max_retries at least 0.")

    @classmethod
    def of(
        cls,
        base_url: str,
        api_key: str | None,
        timeout: float,
        max_retries: int,
        headers: Mapping[str, str] | None,
    ) -> ClientSettings:
        """Settings with the key from ``AGENTSPARK_API_KEY`` where none is given."""
        key = api_key if api_key is not None else os.environ.get(KEY_VARIABLE)
        return cls(base_url.rstrip("/"), key or None, timeout, max_retries, dict(headers or {}))

    @property
    def default_headers(self) -> dict[str, str]:
        """Headers of every request."""
        own = {"user-agent": f"openai_dspark/{__version__}", **self.headers}
        if self.api_key is not None:
            own["authorization"] = f"Bearer {self.api_key}"
        return own

    def timeout(self, seconds: float | None) -> httpx.Timeout:
        """Time limits of one attempt; a server that was told ``seconds`` may say so a bit later."""
        limit = self.timeout_s if seconds is None else seconds + _GRACE_S
        return httpx.Timeout(limit, connect=min(limit, _CONNECT_S))
