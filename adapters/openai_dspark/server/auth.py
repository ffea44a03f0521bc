"""Who calls: API keys, and the salt that keeps callers' prefixes apart."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request

from agentspark.errors import ConfigError
from openai_dspark.server.errors import ApiError

KEY_VARIABLES = ("AGENTSPARK_API_KEY", "AGENTSPARK_API_KEYS")


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller by the hash of its key; ``None`` where no keys are asked for."""

    salt: str | None

    @property
    def name(self) -> str | None:
        """Enough of the hash to tell callers apart in a log."""
        return None if self.salt is None else self.salt[:8]


class Keys:
    """The keys that open the server. Only their hashes are kept."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [hashlib.sha256(key.encode()).digest() for key in sorted(keys)]

    def caller(self, request: Request) -> Caller:
        """Who sent ``request``; ``ApiError`` 401 for a missing or wrong key.

        The comparison takes the same time whatever is wrong.
        """
        if not self._digests:
            return Caller(None)
        given = _key_in(request.headers)
        if given is None:
            raise ApiError(401, "An API key is needed: send 'Authorization: Bearer <key>'.")
        digest = hashlib.sha256(given.encode()).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if not any(matches):
            raise ApiError(401, "This API key is not known here.", code="invalid_api_key")
        return Caller(digest.hex()[:32])


def read_keys(file: Path | None, environment: Mapping[str, str] | None = None) -> frozenset[str]:
    """The key in ``AGENTSPARK_API_KEY``, those in ``AGENTSPARK_API_KEYS`` and a file's lines.

    Commas part keys in the latter variable only. A line that begins with ``#`` is a comment.
    """
    given = os.environ if environment is None else environment
    one, many = (given.get(name, "") for name in KEY_VARIABLES)
    found = [one, *many.split(",")]
    if file is not None:
        try:
            lines = file.expanduser().read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The keys in {file} cannot be read: {error}.") from error
        own = [line for line in map(str.strip, lines) if line and not line.startswith("#")]
        if not own:
            raise ConfigError(f"{file} holds no key: write one per line.")
        found += own
    return frozenset(key.strip() for key in found if key.strip())


def _key_in(headers: Mapping[str, str]) -> str | None:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return headers.get("x-api-key") or None
