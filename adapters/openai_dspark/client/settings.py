"""What a client keeps between calls."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import httpx

from agentspark import __version__
from agentspark.errors import ConfigError
from openai_dspark.client.deadline import Deadline

KEY_VARIABLE = "AGENTSPARK_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8000/v1"
_CONNECT_S = 10.0
_KEPT = 20
# Sockets take no more milliseconds than a C int holds.
_LONGEST_S = 2e6


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
        if not _is_address(self.base_url):
            raise ConfigError(
                f"base_url={self.base_url!r} is no address: give one like {DEFAULT_URL}."
            )
        if self.api_key is not None and not _fits_header(self.api_key):
            raise ConfigError(
                "api_key holds characters that no header can carry, such as a line end: give "
                "printable ASCII."
            )
        for name, value in self.headers.items():
            if not (name and _fits_header(name) and _fits_header(value)):
                raise ConfigError(f"header {name!r} cannot be sent: use printable ASCII.")
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

    @property
    def limits(self) -> httpx.Limits:
        """How many connections to open: as many as there are calls; some are kept for the next."""
        return httpx.Limits(max_connections=None, max_keepalive_connections=_KEPT)

    def timeout(self, deadline: Deadline) -> httpx.Timeout:
        """Time limits of each wait of one attempt."""
        patience = deadline.patience_s
        limit = min(self.timeout_s if patience is None else patience, _LONGEST_S)
        return httpx.Timeout(limit, connect=min(limit, _CONNECT_S))


def _is_address(url: str) -> bool:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return False
    return parts.scheme in ("http", "https") and bool(parts.host) and (parts.port or 1) < 1 << 16


def _fits_header(text: str) -> bool:
    return isinstance(text, str) and text.isascii() and text.isprintable()
