"""From the engine's deltas to the events of a message's stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic_core import to_json

from agentspark.engine.result import Completion, Delta
from openai_dspark.server.anthropic.reply import MessageHead, ending, usage_of
from openai_dspark.server.anthropic.thoughts import hidden
from openai_dspark.server.call import Call
from openai_dspark.server.errors import ApiError
from openai_dspark.server.event_stream import data
from openai_dspark.server.usage import metrics_of

Event = dict[str, Any]

_TEXTS = {"text": "text", "thinking": "thinking", "tool_use": "partial_json"}
_DELTAS = {"text": "text_delta", "thinking": "thinking_delta", "tool_use": "input_json_delta"}


class EventWriter:
    """Writes the events of one message: blocks open and close one after the other."""

    def __init__(self, head: MessageHead, call: Call) -> None:
        self._head, self._call = head, call
        self._begun = False
        self._thoughts = ""  # that are not shown
        self._open: str | None = None
        self._index = -1

    def push(self, _index: int, delta: Delta) -> bytes:
        """The events that ``delta`` makes."""
        return b"".join(_event(event) for event in self.events(delta))

    def end(self, _choices: Sequence[Completion]) -> bytes:
        """Nothing: the last delta's events end the stream."""
        return b""

    def fail(self, error: ApiError) -> bytes:
        """The error, which ends the stream."""
        detail = {"type": error.type, "message": str(error)}
        return _event({"type": "error", "error": detail})

    def events(self, delta: Delta) -> Iterator[Event]:
        """The events that ``delta`` makes, as objects."""
        if not self._begun:
            self._begun = True
            message = self._head.begun(self._call, delta.cached_tokens).to_dict()
            yield {"type": "message_start", "message": message}
        if delta.reasoning:
            yield from self._think(delta.reasoning)
        if delta.content:
            yield from self._say("text", delta.content, {"text": ""})
        for call in delta.tool_calls:
            if call.id is not None:
                yield from self._switch(
                    "tool_use", {"id": call.id, "name": call.name or "", "input": {}}
                )
            if call.arguments:
                yield self._delta("tool_use", call.arguments)
        if delta.completion is not None:
            yield from self._finish(delta.completion)

    def _finish(self, completion: Completion) -> Iterator[Event]:
        yield from self._close()
        reason, stop = ending(completion)
        yield {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": stop},
            "usage": usage_of(completion).to_dict(),
            "metrics": metrics_of([completion]).to_dict(),
        }
        yield {"type": "message_stop"}

    def _think(self, text: str) -> Iterator[Event]:
        empty = {"thinking": "", "signature": ""}
        if not self._head.hides_thoughts:
            yield from self._say("thinking", text, empty)
            return
        if self._open != "thinking":
            yield from self._switch("thinking", empty)
        self._thoughts += text

    def _say(self, kind: str, text: str, empty: Event) -> Iterator[Event]:
        if self._open != kind:
            yield from self._switch(kind, empty)
        yield self._delta(kind, text)

    def _switch(self, kind: str, empty: Event) -> Iterator[Event]:
        yield from self._close()
        self._open = kind
        self._index += 1
        block = {"type": kind, **empty}
        yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _delta(self, kind: str, text: str) -> Event:
        delta = {"type": _DELTAS[kind], _TEXTS[kind]: text}
        return {"type": "content_block_delta", "index": self._index, "delta": delta}

    def _close(self) -> Iterator[Event]:
        if self._thoughts:
            signed = {"type": "signature_delta", "signature": hidden(self._thoughts)}
            self._thoughts = ""
            yield {"type": "content_block_delta", "index": self._index, "delta": signed}
        if self._open is not None:
            self._open = None
            yield {"type": "content_block_stop", "index": self._index}


def _event(event: Event) -> bytes:
    return data(to_json(event), event["type"])
