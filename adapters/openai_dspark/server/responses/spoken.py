"""Tools as a chat knows them: functions, whose names and arguments stand for what was asked for."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field

_LONGEST = 64
_DIGEST = 8


@dataclass(frozen=True, slots=True)
class ToolName:
    """A tool as a Responses request names it; a ``custom`` one takes a text instead of JSON."""

    name: str
    namespace: str | None = None
    custom: bool = False

    @property
    def spoken(self) -> str:
        """The function's name for the model: the same in every request, at most 64 characters."""
        if not self.namespace or not self.name:
            return self.name
        joint = "" if self.namespace.endswith("__") else "__"
        whole = f"{self.namespace}{joint}{self.name}"
        if len(whole) <= _LONGEST:
            return whole
        digest = hashlib.blake2b(whole.encode("utf-8", "replace")).hexdigest()[:_DIGEST]
        return f"{whole[: _LONGEST - _DIGEST - 1]}_{digest}"


def spoken_input(text: str) -> str:
    """The arguments that stand for the input of a custom tool."""
    return json.dumps({"input": text}, ensure_ascii=False)


# Whole characters of a JSON text, as far as they have come.
_BEGUN = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_WHOLE = re.compile(
    r"(?:[^\"\\]|\\[^u]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}"
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}"
    r"(?:\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?=[^\\]|\\[^u]|\\u(?![dD][c-fC-F])[0-9a-fA-F]{4})))*"
)


@dataclass(slots=True)
class InputReader:
    """Reads the input of a custom tool off its arguments while these still come."""

    _waiting: str = field(default="")
    _begun: bool = field(default=False)

    def feed(self, arguments: str) -> str:
        """What ``arguments``, the next piece of JSON, adds to the input."""
        self._waiting += arguments
        if not self._begun:
            head = _BEGUN.match(self._waiting)
            if head is None:
                return ""
            self._begun = True
            self._waiting = self._waiting[head.end() :]
        whole = _WHOLE.match(self._waiting)
        told = "" if whole is None else whole[0]
        self._waiting = self._waiting[len(told) :]
        # Half of a surrogate pair is JSON, escaped, and no text.
        text: str = json.loads(f'"{told}"', strict=False)
        return text.encode("utf-8", "replace").decode()


def read_input(arguments: str) -> str:
    """The input in ``arguments``, as far as it is there."""
    return InputReader().feed(arguments)
