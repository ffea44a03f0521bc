"""Chunks of a stream that tell tool calls that were cut off from whole ones, joined as well.

LangChain completes the JSON of a call's arguments as it joins chunks: of ``{"path": "/home`` it
makes a call with that path, which an agent would carry out.
"""

from __future__ import annotations

import json
from typing import Any, Self

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import invalid_tool_call
from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

# In the metadata of a stream's end, the ids of its calls that are not whole.
CUT = "cut_tool_calls"
# As lenient with line ends in strings as LangChain's parsers are.
DECODER = json.JSONDecoder(strict=False)


def arguments_of(text: str | None, *, cut: bool = False) -> dict[str, Any] | None:
    """A call's arguments, ``None`` where they are no whole JSON object.

    No text at all is a call without arguments, unless the answer was ``cut``.
    """
    if not text:
        return None if cut else {}
    try:
        arguments = DECODER.decode(text)
    except ValueError:
        return None
    return arguments if isinstance(arguments, dict) else None


class _WholeMessage:
    """Becomes an ``AIMessage`` when it is made: LangChain makes a chunk's first parent of it."""

    def __new__(cls, *args: Any, **fields: Any) -> Any:
        return AIMessage(*args, **fields) if cls is _WholeMessage else super().__new__(cls)


class Chunk(_WholeMessage, AIMessageChunk):
    """A chunk, or several joined, whose cut calls are among its ``invalid_tool_calls``.

    It is written down as LangChain's own, whose name it has, and without the pieces from which
    that would complete calls that were cut.
    """

    @classmethod
    def lc_id(cls) -> list[str]:
        """What LangChain reads it back as."""
        return AIMessageChunk.lc_id()

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """What is written down in place of the fields."""
        written = super().lc_attributes
        return {**written, "tool_call_chunks": []} if CUT in self.response_metadata else written

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it as what it is, which its name does not say."""
        return _empty, (), self.__getstate__()

    @model_serializer(mode="wrap")
    def _without_pieces_of_cut_calls(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        return {**written, "tool_call_chunks": []} if CUT in self.response_metadata else written

    @model_validator(mode="after")
    def _cut_calls_are_invalid(self) -> Self:
        ids = self.response_metadata.get(CUT, ())
        cut = [call for call in self.tool_calls if call["id"] in ids]
        if cut:
            said = {piece["id"]: piece["args"] for piece in self.tool_call_chunks}
            self.tool_calls = [call for call in self.tool_calls if call["id"] not in ids]
            self.invalid_tool_calls = [
                *self.invalid_tool_calls,
                *(
                    invalid_tool_call(
                        name=call["name"],
                        args=said.get(call["id"]),
                        id=call["id"],
                        error="the arguments were cut off",
                    )
                    for call in cut
                ),
            ]
        return self


# LangGraph's checkpoints keep a class's name, and give back LangChain's own classes only.
Chunk.__module__, Chunk.__name__ = AIMessageChunk.__module__, AIMessageChunk.__name__


def _empty() -> Chunk:
    made: Chunk = Chunk.__new__(Chunk)
    return made
