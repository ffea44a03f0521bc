"""Anthropic's turns of blocks as a chat's messages, and where each part of them stood."""

from __future__ import annotations

import json

from openai_dspark.server.anthropic.thoughts import found
from openai_dspark.server.errors import ApiError
from openai_dspark.server.translated import Message, Place, TranslatedChat
from openai_dspark.wire.anthropic_blocks import (
    Block,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    plain,
)
from openai_dspark.wire.anthropic_request import AnthropicMessage, AnthropicPrompt


class Conversation(TranslatedChat):
    """Builds the messages; a turn of the user may be several: each tool's result is one."""

    @classmethod
    def of(cls, body: AnthropicPrompt) -> Conversation:
        """The system's texts, if there are any, and the turns."""
        made = cls()
        if system := plain(body.system, "\n\n"):
            made.add({"role": "system", "content": system}, Place("system", {"content": "system"}))
        for index, turn in enumerate(body.messages):
            made._turn(turn, f"messages[{index}]")
        return made

    def _turn(self, turn: AnthropicMessage, where: str) -> None:
        if isinstance(turn.content, str):
            place = Place(where, {"content": f"{where}.content"})
            self.add({"role": turn.role, "content": turn.content}, place)
        elif turn.role == "assistant":
            self._assistant(turn.content, where)
        elif turn.role == "system":
            self._system(turn.content, where)
        else:
            self._user(turn.content, where)

    def _system(self, blocks: list[Block], where: str) -> None:
        texts = [block for block in blocks if isinstance(block, TextBlock)]
        if len(texts) < len(blocks):
            index = next(i for i, b in enumerate(blocks) if not isinstance(b, TextBlock))
            raise _misplaced(f"{where}.content[{index}]", blocks[index], "system")
        place = Place(where, {"content": f"{where}.content"})
        self.add({"role": "system", "content": plain(texts, "\n\n")}, place)

    def _user(self, blocks: list[Block], where: str) -> None:
        said: Message | None = None
        for index, block in enumerate(blocks):
            at = f"{where}.content[{index}]"
            if isinstance(block, TextBlock):
                if said is None:
                    said = {"role": "user", "content": ""}
                    self.add(said, Place(where, {"content": f"{where}.content"}))
                said["content"] += block.text
            elif isinstance(block, ToolResultBlock):
                said = None
                text = plain(block.content)
                message = {
                    "role": "tool",
                    "tool_call_id": block.tool_use_id,
                    "content": f"Error: {text}" if block.is_error else text,
                }
                fields = {"content": f"{at}.content", "tool_call_id": f"{at}.tool_use_id"}
                self.add(message, Place(at, fields))
            else:
                raise _misplaced(at, block, "user")

    def _assistant(self, blocks: list[Block], where: str) -> None:
        message: Message = {"role": "assistant", "content": None}
        place = Place(where, {"content": f"{where}.content"})
        for index, block in enumerate(blocks):
            at = f"{where}.content[{index}]"
            if isinstance(block, TextBlock):
                message["content"] = (message["content"] or "") + block.text
            elif isinstance(block, ToolUseBlock):
                function = {"name": block.name, "arguments": json.dumps(block.input)}
                call = {"id": block.id, "type": "function", "function": function}
                message.setdefault("tool_calls", []).append(call)
                place.calls.append(at)
            elif isinstance(block, ThinkingBlock):
                thought = block.thinking or found(block.signature)
                message["reasoning_content"] = message.get("reasoning_content", "") + thought
                place.fields.setdefault("reasoning_content", at)
            else:
                raise _misplaced(at, block, "assistant")
        self.add(message, place)


def _misplaced(where: str, block: Block, role: str) -> ApiError:
    param = f"{where}.type"
    return ApiError(400, f"{param}: a {block.type} is nothing that the {role} says.", param=param)
