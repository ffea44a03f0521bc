"""Short fingerprints of prompts and outputs: of token ids, or of texts where those are unknown."""

from __future__ import annotations

import array
import hashlib
import json
import sys
from collections.abc import Sequence

from pydantic import JsonValue

HASH_CHARACTERS = 16
_OF_TEXT = "text-"


def token_hash(token_ids: Sequence[int]) -> str:
    """First 16 hex digits of the SHA-256 over the ids, each as a little-endian 32-bit integer."""
    ids = array.array("i", token_ids)
    if sys.byteorder == "big":
        ids.byteswap()
    return hashlib.sha256(ids.tobytes()).hexdigest()[:HASH_CHARACTERS]


def text_hash(said: JsonValue) -> str:
    """The same over ``said`` as JSON, keys in order; ``text-`` before it tells the two apart."""
    text = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    return _OF_TEXT + hashlib.sha256(text).hexdigest()[:HASH_CHARACTERS]


def same_hash(one: str | None, other: str | None) -> bool | None:
    """Whether two fingerprints are equal; ``None`` where one is missing or of another kind."""
    if one is None or other is None or one.startswith(_OF_TEXT) != other.startswith(_OF_TEXT):
        return None
    return one == other
