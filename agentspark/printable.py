"""Text from files and models, made fit for a terminal."""

from __future__ import annotations

import re

# Controls but tab and newline, and the marks that turn the direction of writing: they would move
# the cursor, change the terminal's title or colours, or show a text in another order.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""``text`` with control characters shown as in Python, ``\x1b`` for an escape."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)
