"""A short fingerprint of token ids, equal exactly where the ids are."""

from __future__ import annotations

import array
import hashlib
import sys
from collections.abc import Sequence

HASH_CHARACTERS = 16


def token_hash(token_ids: Sequence[int]) -> str:
    """First 16 hex digits of the SHA-256 over the ids, each as a little-endian 32-bit integer."""
    ids = array.array("i", token_ids)
    if sys.byteorder == "big":
        ids.byteswap()
    return hashlib.sha256(ids.tobytes()).hexdigest()[:HASH_CHARACTERS]
