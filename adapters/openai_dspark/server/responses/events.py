"""From the engine's deltas to the events of a response's stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentspark.engine.result import Completion, Delta
from openai_dspark.server.errors import ApiError
from openai_dspark.server.event_stream import data
from openai_dspark.server.responses.reply import (
    ResponseHead,
    call_item,
    custom_item,
    last_status,
    message_item,
    reasoning_item,
    shown,
    text_part,
)
from openai_dspark.server.responses.spoken import InputReader, ToolName
from openai_dspark.server.tokens import ChoiceTokens
from openai_dspark.wire.body import Reply
from openai_dspark.wire.logprobs import ChatLogprob
from openai_dspark.wire.response_reply import OutputItem, OutputText, Status

_NOBODY = ToolName("")


class Event(Reply):
    """One event; its type is also its name on the wire."""

    type: str
    sequence_number: int


class EventWriter:
    """Writes the events of one response: items open and close one after the other."""

    def __init__(self, head: ResponseHead, tokens: ChoiceTokens) -> None:
        self._head = head
        self._tokens = tokens
        self._number = 0
        self._done: list[OutputItem] = []
        self._open: _Item | None = None
        self._begun = False

    def push(self, _index: int, delta: Delta) -> bytes:
        """The events that ``delta`` makes."""
        return b"".join(data(event.to_json(), event.type) for event in self.events(delta))

    def end(self, _choices: Sequence[Completion]) -> bytes:
        """Nothing: the last delta's events end the stream."""
        return b""

    def fail(self, error: ApiError) -> bytes:
        """What was being written as incomplete, the error, and the response as failed."""
        events = list(self._close("incomplete"))
        code = error.code or error.type
        events.append(self._event("error", code=code, message=str(error), param=error.param))
        # A response's error has one of few codes, of which this is the one of servers.
        detail = {"code": "server_error", "message": str(error)}
        response = self._head.response("failed", self._done).to_dict() | {"error": detail}
        events.append(self._event("response.failed", response=response))
        return b"".join(data(event.to_json(), event.type) for event in events)

    def events(self, delta: Delta) -> Iterator[Event]:
        """The events that ``delta`` makes, as objects."""
        if not self._begun:
            self._begun = True
            for kind in ("created", "in_progress"):
                response = self._head.response("in_progress", [])
                yield self._event(f"response.{kind}", response=response.to_dict())
        self._tokens.add(delta)
        if delta.reasoning:
            yield from self._add("rs", delta.reasoning)
        if delta.content:
            yield from self._add("msg", delta.content)
        for call in delta.tool_calls:
            if call.id is not None:
                name = self._head.offer.name(call.name or "")
                yield from self._switch("ctc" if name.custom else "fc", call.id, name)
            if self._open is not None and (text := self._open.read(call.arguments or "")):
                yield self._delta(self._open, text)
        if delta.completion is not None:
            yield from self._finish(delta.completion)

    def _finish(self, completion: Completion) -> Iterator[Event]:
        if self._open is None and not self._done:
            yield from self._switch("msg")
        yield from self._close(last_status(completion))
        response = self._head.finished(completion, self._done)
        yield self._event(f"response.{response.status}", response=response.to_dict())

    def _add(self, kind: str, text: str) -> Iterator[Event]:
        if self._open is None or self._open.kind != kind:
            yield from self._switch(kind)
        assert self._open is not None, "an item was opened"
        yield self._delta(self._open, text)

    def _switch(self, kind: str, call_id: str = "", name: ToolName = _NOBODY) -> Iterator[Event]:
        yield from self._close("completed")
        index = len(self._done)
        item = self._open = _Item(kind, f"{kind}_{self._head.number}_{index}", index, call_id, name)
        shown = item.shown("", "in_progress").to_dict()
        yield self._event("response.output_item.added", output_index=item.index, item=shown)
        if item.kind == "msg":
            yield self._part("added", item, text_part(""))

    def _close(self, status: Status) -> Iterator[Event]:
        item, self._open = self._open, None
        if item is None:
            return
        known: dict[str, Any] = {"item_id": item.id, "output_index": item.index}
        if item.kind == "fc":
            kind = "response.function_call_arguments.done"
            yield self._event(kind, **known, name=item.name.name, arguments=item.text)
        elif item.kind == "ctc":
            yield self._event("response.custom_tool_call_input.done", **known, input=item.text)
        elif item.kind == "rs":
            kind = "response.reasoning_text.done"
            yield self._event(kind, **known, content_index=0, text=item.text)
        else:
            kind = "response.output_text.done"
            item.logprobs += shown(self._tokens)
            part = text_part(item.text, item.logprobs)
            logprobs = part.to_dict()["logprobs"]
            yield self._event(kind, **known, content_index=0, text=item.text, logprobs=logprobs)
            yield self._part("done", item, part)
        done = item.shown(item.text, status)
        self._done.append(done)
        kind = "response.output_item.done"
        yield self._event(kind, output_index=item.index, item=done.to_dict())

    def _delta(self, item: _Item, text: str) -> Event:
        item.text += text
        known: dict[str, Any] = {"item_id": item.id, "output_index": item.index, "delta": text}
        if item.kind == "fc":
            return self._event("response.function_call_arguments.delta", **known)
        if item.kind == "ctc":
            return self._event("response.custom_tool_call_input.delta", **known)
        known["content_index"] = 0
        if item.kind == "rs":
            return self._event("response.reasoning_text.delta", **known)
        new = shown(self._tokens)
        item.logprobs += new
        logprobs = [entry.to_dict() for entry in new]
        return self._event("response.output_text.delta", **known, logprobs=logprobs)

    def _part(self, what: str, item: _Item, part: OutputText) -> Event:
        return self._event(
            f"response.content_part.{what}",
            item_id=item.id,
            output_index=item.index,
            content_index=0,
            part=part.to_dict(),
        )

    def _event(self, kind: str, **fields: Any) -> Event:
        self._number += 1
        return Event(type=kind, sequence_number=self._number - 1, **fields)


@dataclass(slots=True)
class _Item:
    """What is being written: reasoning, a message, a call (``fc``), one of a custom tool."""

    kind: str
    id: str
    index: int
    call_id: str
    name: ToolName
    text: str = ""
    logprobs: list[ChatLogprob] = field(default_factory=list)
    _input: InputReader = field(default_factory=InputReader)

    def read(self, arguments: str) -> str:
        """What the next piece of a call's arguments adds to what is shown of it."""
        return self._input.feed(arguments) if self.kind == "ctc" else arguments

    def shown(self, text: str, status: Status) -> OutputItem:
        """The item with ``text``."""
        if self.kind == "rs":
            return reasoning_item(self.id, text, status)
        if self.kind == "fc":
            return call_item(self.id, self.call_id, self.name, text, status)
        if self.kind == "ctc":
            return custom_item(self.id, self.call_id, self.name, text, status)
        return message_item(self.id, text, status, self.logprobs)
