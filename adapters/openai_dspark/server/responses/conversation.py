"""A Responses input as a chat's messages, and where in the input each part of them stood."""

from __future__ import annotations

from openai_dspark.server.responses.spoken import ToolName, spoken_input
from openai_dspark.server.translated import Message, Place, TranslatedChat
from openai_dspark.wire.response_items import (
    CallItem,
    CallOutputItem,
    CustomCallItem,
    Item,
    MessageItem,
    ReasoningItem,
    plain,
)
from openai_dspark.wire.response_request import ResponseRequest


class Conversation(TranslatedChat):
    """Builds the messages; what the assistant thought, said and called in a row is one."""

    def __init__(self) -> None:
        super().__init__()
        self._turn: tuple[Message, Place] | None = None

    @classmethod
    def of(cls, body: ResponseRequest) -> Conversation:
        """The instructions, if there are any, and the input."""
        made = cls()
        if body.instructions:
            place = Place("instructions", {"content": "instructions"})
            made.add({"role": "system", "content": body.instructions}, place)
        if isinstance(body.input, str):
            made.add({"role": "user", "content": body.input}, Place("input", {"content": "input"}))
            return made
        for index, item in enumerate(body.input):
            made._add(item, f"input[{index}]")
        return made

    def _add(self, item: Item, where: str) -> None:
        if isinstance(item, CallOutputItem):
            self._turn = None
            place = Place(where, {"content": f"{where}.output", "tool_call_id": f"{where}.call_id"})
            message = {"role": "tool", "tool_call_id": item.call_id, "content": plain(item.output)}
            self.add(message, place)
        elif isinstance(item, MessageItem) and item.role != "assistant":
            self._turn = None
            message = {"role": item.role, "content": plain(item.content)}
            self.add(message, Place(where, {"content": f"{where}.content"}))
        else:
            self._add_to_turn(item, where)

    def _add_to_turn(self, item: Item, where: str) -> None:
        """What the assistant thought comes before what it says or calls next.

        Thoughts between calls whose outputs follow later stay in the one turn of those calls.
        """
        turn = self._turn
        said = turn is not None and turn[0]["content"] is not None
        called = turn is not None and "tool_calls" in turn[0]
        again = isinstance(item, MessageItem) or (isinstance(item, ReasoningItem) and not called)
        if turn is None or (said and again):
            turn = self._turn = ({"role": "assistant", "content": None}, Place(where))
            self.add(*turn)
        message, place = turn
        if isinstance(item, MessageItem):
            message["content"] = plain(item.content)
            place.fields["content"] = f"{where}.content"
        elif isinstance(item, CallItem | CustomCallItem):
            name = ToolName(item.name, item.namespace).spoken
            arguments = item.arguments if isinstance(item, CallItem) else spoken_input(item.input)
            function = {"name": name, "arguments": arguments}
            call = {"id": item.call_id, "type": "function", "function": function}
            message.setdefault("tool_calls", []).append(call)
            place.calls.append(where)
        elif isinstance(item, ReasoningItem):
            text = "".join(part.text for part in item.content or item.summary or [])
            if text:
                message["reasoning_content"] = message.get("reasoning_content", "") + text
                place.fields.setdefault("reasoning_content", where)
