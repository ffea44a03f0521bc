"""What the parameters of a translated chat are called in the Responses request it came from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from openai_dspark.server.errors import ApiError
from openai_dspark.server.responses.conversation import Place

_NAMES = (
    (re.compile(r"^messages$"), "input"),
    (re.compile(r"^max_tokens$|^max_completion_tokens$"), "max_output_tokens"),
    (re.compile(r"^response_format\.json_schema"), "text.format"),
    (re.compile(r"^response_format"), "text.format"),
    (re.compile(r"^(tools\[\d+\])\.function"), r"\1"),
    (re.compile(r"^reasoning_effort$"), "reasoning.effort"),
)
_MESSAGE = re.compile(r"^messages\[(\d+)\](?:\.(\w+))?(?:\[(\d+)\])?(?:\.(?:function\.)?(\w+))?")
_OF_CALLS = {"id": "call_id", "name": "name", "arguments": "arguments"}


@dataclass(frozen=True, slots=True)
class Names:
    """``places`` has one entry per message of the chat."""

    places: Sequence[Place]

    def renamed(self, error: ApiError) -> ApiError:
        """``error`` in the request's names, its message too."""
        if error.param is None:
            return error
        param = self.of(error.param)
        text = str(error).replace(error.param, param)
        return ApiError(error.status, text, param=param, code=error.code, headers=error.headers)

    def of(self, param: str) -> str:
        """The request's name of the chat's ``param``."""
        message = _MESSAGE.match(param)
        if message is not None and int(message[1]) < len(self.places):
            return self._in_message(self.places[int(message[1])], message)
        for pattern, name in _NAMES:
            renamed, found = pattern.subn(name, param)
            if found:
                return renamed
        return param

    def _in_message(self, place: Place, message: re.Match[str]) -> str:
        _, name, index, part = message.groups()
        if name == "tool_calls" and index is not None and int(index) < len(place.calls):
            call = place.calls[int(index)]
            return f"{call}.{_OF_CALLS[part]}" if part in _OF_CALLS else call
        return place.fields.get(name or "", place.whole)
