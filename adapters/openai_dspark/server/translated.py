"""What the parameters of a translated chat are called in the request it came from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from openai_dspark.server.errors import ApiError

Message = dict[str, Any]

_TOOL = re.compile(r"^(tools\[(\d+)\])(?:\.function)?(?:\.(\w+))?")
_MESSAGE = re.compile(r"^messages\[(\d+)\](?:\.(\w+))?(?:\[(\d+)\])?(?:\.(?:function\.)?(\w+))?")


@dataclass(slots=True)
class Place:
    """Where a message or a tool came from, in the request's names.

    ``whole`` is the part that began it, ``fields`` are parts by the message's or the function's
    field, ``calls`` the parts that a message's calls were.
    """

    whole: str
    fields: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)


class TranslatedChat:
    """The messages of a chat as they are made, and the place of each."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.places: list[Place] = []

    def add(self, message: Message, place: Place) -> None:
        """Append a message that stood at ``place``."""
        self.messages.append(message)
        self.places.append(place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """One API's names: ``patterns`` of a chat's parameters, ``of_calls`` for a call's fields."""

    patterns: Sequence[tuple[re.Pattern[str], str]]
    of_calls: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Names:
    """``places`` has one entry per message of the chat, ``tools`` one per tool if any are moved."""

    wording: Wording
    places: Sequence[Place]
    tools: Sequence[Place] = ()

    def renamed(self, error: ApiError) -> ApiError:
        """``error`` in the request's names, its message too."""
        if error.param is None:
            return error
        param = self.of(error.param)
        text = str(error).replace(error.param, param)
        return ApiError(error.status, text, param=param, code=error.code, headers=error.headers)

    def of(self, param: str) -> str:
        """The request's name of the chat's ``param``."""
        tool = _TOOL.match(param)
        if tool is not None and int(tool[2]) < len(self.tools):
            place = self.tools[int(tool[2])]
            if tool[3] in place.fields:
                return place.fields[tool[3]]
            param = place.whole + param[tool.end(1) :]
        message = _MESSAGE.match(param)
        if message is not None and int(message[1]) < len(self.places):
            return self._in_message(self.places[int(message[1])], message)
        for pattern, name in self.wording.patterns:
            renamed, found = pattern.subn(name, param)
            if found:
                return renamed
        return param

    def _in_message(self, place: Place, message: re.Match[str]) -> str:
        _, name, index, part = message.groups()
        if name == "tool_calls" and index is not None and int(index) < len(place.calls):
            call = place.calls[int(index)]
            known = self.wording.of_calls
            return f"{call}.{known[part]}" if part in known else call
        return place.fields.get(name or "", place.whole)
