"""Thoughts that a client keeps without showing them: in the signature of their block."""

from __future__ import annotations

import base64
import binascii

_MARK = "agentspark."


def hidden(thoughts: str) -> str:
    """The signature that holds ``thoughts``."""
    return _MARK + base64.b64encode(thoughts.encode("utf-8", "replace")).decode()


def found(signature: str | None) -> str:
    """The thoughts in a signature; none in that of another server, which only it can read."""
    if signature is None or not signature.startswith(_MARK):
        return ""
    try:
        return base64.b64decode(signature.removeprefix(_MARK), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""
