"""Pieces of an answer as LangChain's messages and chunks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, InvalidToolCall, ToolCall
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import (
    ToolCallChunk,
    invalid_tool_call,
    tool_call,
    tool_call_chunk,
)
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from langchain_dspark.chunk import CUT, Chunk, arguments_of
from langchain_dspark.pieces import CallPiece, Figures, Piece

REASONING = "reasoning_content"


def to_result(pieces: Sequence[Piece]) -> ChatResult:
    """The answer of ``invoke``: one generation made of all ``pieces``."""
    reasoning = "".join(piece.reasoning for piece in pieces)
    figures = pieces[-1].figures
    assert figures is not None, "the last piece brings the figures"
    calls, invalid = _calls([call for piece in pieces for call in piece.calls], figures)
    message = AIMessage(
        content="".join(piece.content for piece in pieces),
        additional_kwargs={REASONING: reasoning} if reasoning else {},
        tool_calls=calls,
        invalid_tool_calls=invalid,
        usage_metadata=usage(figures),
        response_metadata=figures.metadata,
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


class Chunks:
    """The chunks of one stream."""

    def __init__(self) -> None:
        self._calls: list[CallPiece] = []

    def of(self, piece: Piece) -> Iterator[ChatGenerationChunk]:
        """The next piece's chunks; see ``to_chunk``.

        The figures come without pieces of calls: in a last chunk, LangChain's events take these
        for whole calls, and lose them.
        """
        self._calls += piece.calls
        figures = piece.figures
        if figures is None:
            yield to_chunk(piece)
            return
        if piece.calls:
            yield to_chunk(replace(piece, figures=None))
            piece = Piece(figures=figures)
        yield to_chunk(piece, cut=[call["id"] for call in _calls(self._calls, figures)[1]])


def to_chunk(piece: Piece, *, cut: Sequence[str | None] = ()) -> ChatGenerationChunk:
    """One piece of a stream; the last one carries the figures and ``chunk_position="last"``.

    ``cut`` are the ids of the stream's calls that are not whole, known with its last piece.
    """
    calls: list[ToolCallChunk] = [
        tool_call_chunk(name=call.name, args=call.arguments, id=call.id, index=call.index)
        for call in _joined(piece.calls)
    ]
    given: dict[str, Any] = {}
    if piece.figures is not None:
        given = {
            "usage_metadata": usage(piece.figures),
            "response_metadata": {**piece.figures.metadata, **({CUT: [*cut]} if cut else {})},
            "chunk_position": "last",
        }
    return ChatGenerationChunk(
        message=Chunk(
            content=piece.content,
            additional_kwargs={REASONING: piece.reasoning} if piece.reasoning else {},
            tool_call_chunks=calls,
            **given,
        )
    )


def usage(figures: Figures) -> UsageMetadata | None:
    """Token counts in LangChain's terms, ``None`` if unknown; the details are of the totals."""
    if figures.prompt_tokens is None or figures.completion_tokens is None:
        return None
    found = UsageMetadata(
        input_tokens=figures.prompt_tokens,
        output_tokens=figures.completion_tokens,
        total_tokens=figures.prompt_tokens + figures.completion_tokens,
    )
    if figures.cached_tokens is not None:
        found["input_token_details"] = InputTokenDetails(cache_read=figures.cached_tokens)
    if figures.reasoning_tokens is not None:
        found["output_token_details"] = OutputTokenDetails(reasoning=figures.reasoning_tokens)
    return found


def _joined(pieces: Sequence[CallPiece]) -> list[CallPiece]:
    """One piece per call: LangChain joins pieces of different chunks, but not within one."""
    whole: dict[int, CallPiece] = {}
    for piece in pieces:
        before = whole.get(piece.index)
        if before is not None:
            piece = CallPiece(
                piece.index,
                before.id or piece.id,
                before.name or piece.name,
                before.arguments + piece.arguments,
            )
        whole[piece.index] = piece
    return list(whole.values())


def _calls(
    pieces: Sequence[CallPiece], figures: Figures
) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Whole calls; one whose arguments are no JSON object (it was cut off) is invalid."""
    cut = figures.metadata["finish_reason"] == "length"
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in _joined(pieces):
        arguments = arguments_of(call.arguments, cut=cut)
        if arguments is not None and call.name is not None:
            calls.append(tool_call(name=call.name, args=arguments, id=call.id))
        else:
            problem = "the arguments are no JSON object"
            invalid.append(
                invalid_tool_call(name=call.name, args=call.arguments, id=call.id, error=problem)
            )
    return calls, invalid
