"""What a call asked and what its answer says, as texts: how two of them are told apart."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from agentspark.trace.hashing import text_hash
from openai_dspark.wire.chat_chunk import ChunkChoice, ToolCallDelta
from openai_dspark.wire.chat_reply import ChatChoice, ReplyToolCall
from openai_dspark.wire.completion_reply import CompletionChoice

Choice = ChunkChoice | ChatChoice | CompletionChoice

# What the model reads: the same in both arms of a comparison, however it is sampled.
_PROMPT = ("messages", "prompt", "input", "instructions", "tools", "chat_template_kwargs")
# What names a call, in chats and in responses; items of a response have an ``id`` of no meaning.
_CALL_IDS = ("tool_call_id", "call_id")


def prompt_hash(body: bytes) -> str:
    """The fingerprint of a request's prompt.

    Calls are numbered in it, as their ids are another server's every time.
    """
    fields: dict[str, Any] = json.loads(body)
    numbers: dict[str, str] = defaultdict(lambda: f"call-{len(numbers)}")
    for message in [*_objects(fields.get("messages")), *_objects(fields.get("input"))]:
        for call in _objects(message.get("tool_calls")):
            call["id"] = numbers[str(call.get("id"))]
        for name in _CALL_IDS:
            if name in message:
                message[name] = numbers[str(message[name])]
        message.pop("id", None)
    return text_hash({name: fields[name] for name in _PROMPT if name in fields})


def _objects(values: object) -> list[dict[str, Any]]:
    return [v for v in values if isinstance(v, dict)] if isinstance(values, list) else []


@dataclass(slots=True)
class Said:
    """One choice of an answer, put together of what comes of it."""

    text: str = ""
    reasoning: str = ""
    calls: dict[int, list[str]] = field(default_factory=dict)

    def add(self, choice: Choice) -> None:
        """Take in the choice, or what is new in it."""
        if isinstance(choice, CompletionChoice):
            self.text += choice.text
            return
        news = choice.message if isinstance(choice, ChatChoice) else choice.delta
        self.text += news.content or ""
        self.reasoning += news.reasoning_content or ""
        calls: Sequence[ToolCallDelta | ReplyToolCall] = news.tool_calls or ()
        for place, call in enumerate(calls):
            self._call(place, call)

    def _call(self, place: int, call: ToolCallDelta | ReplyToolCall) -> None:
        number = call.index if isinstance(call, ToolCallDelta) else place
        parts = self.calls.setdefault(number, ["", ""])
        if call.function is not None:
            parts[0] += call.function.name or ""
            parts[1] += call.function.arguments or ""

    def to_json(self) -> JsonValue:
        """What was said, whole or in pieces the same."""
        return [self.text, self.reasoning, [[*self.calls[number]] for number in sorted(self.calls)]]


def output_hash(choices: dict[int, Said]) -> str | None:
    """The fingerprint of an answer; ``None`` where nothing came."""
    if not choices:
        return None
    return text_hash([choices[index].to_json() for index in sorted(choices)])
