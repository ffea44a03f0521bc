"""The opening of a stream, up to the first part of its answer: so long it can be asked for again.

Servers send a chunk with nothing but a role before the model has begun.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

from openai_dspark.wire.chat_chunk import ChatChunk, ChunkChoice
from openai_dspark.wire.completion_reply import CompletionChoice, TextCompletion

Chunk = TypeVar("Chunk", ChatChunk, TextCompletion)


def opening(chunks: Iterator[Chunk]) -> list[Chunk]:
    """The chunks up to the first that brings something; all of them if none does."""
    read: list[Chunk] = []
    for chunk in chunks:
        read.append(chunk)
        if brings(chunk):
            break
    return read


async def aopening(chunks: AsyncIterator[Chunk]) -> list[Chunk]:
    """The same of an asynchronous stream."""
    read: list[Chunk] = []
    async for chunk in chunks:
        read.append(chunk)
        if brings(chunk):
            break
    return read


def brings(chunk: ChatChunk | TextCompletion) -> bool:
    """Whether a chunk has a part of the answer, or its end."""
    if not chunk.choices:
        return chunk.usage is not None
    return any(_part(choice) for choice in chunk.choices)


def _part(choice: ChunkChoice | CompletionChoice) -> bool:
    if choice.finish_reason or choice.logprobs is not None:
        return True
    if isinstance(choice, CompletionChoice):
        return bool(choice.text)
    delta = choice.delta
    known = delta.content or delta.reasoning_content or delta.tool_calls
    return bool(known) or any((delta.model_extra or {}).values())
