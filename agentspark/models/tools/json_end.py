"""Where a JSON value ends in text that arrives in pieces."""

from __future__ import annotations

_OPEN, _CLOSE = "{[", "}]"


class JsonEnd:
    """Follows one JSON object or list. The text must begin with it."""

    def __init__(self) -> None:
        self._depth = 0
        self._string = False
        self._escaped = False

    def push(self, text: str) -> int | None:
        """Add ``text``; the position in it right behind the value's end, ``None`` before that."""
        for index, char in enumerate(text):
            if self._escaped:
                self._escaped = False
            elif self._string:
                self._string = char != '"'
                self._escaped = char == "\\"
            elif char == '"':
                self._string = True
            elif char in _OPEN:
                self._depth += 1
            elif char in _CLOSE:
                self._depth -= 1
                if self._depth <= 0:
                    return index + 1
        return None
