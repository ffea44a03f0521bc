"""Server-sent events from bytes as they arrive."""

from __future__ import annotations

DONE = "[DONE]"


class EventDecoder:
    """Collects bytes and gives the data of whole events.

    Lines end at LF, CRLF or CR only: JSON may hold other characters that Python's ``splitlines``
    takes for line ends.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def push(self, part: bytes) -> list[str]:
        """The data of the events that ``part`` completes."""
        events: list[str] = []
        text = self._rest + part
        # A CR at the end may be half of a CRLF.
        held = text[-1:] if text.endswith(b"\r") else b""
        text = text[: len(text) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, last = text.split(b"\n")
        self._rest = last + held
        for line in lines:
            if not line:
                if self._data:
                    events.append(b"\n".join(self._data).decode("utf-8", "replace"))
                    self._data = []
            elif line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
        return events
