"""Tool calls that were cut off are invalid, in whichever way LangChain gets at a stream."""

from __future__ import annotations

import pickle

import pytest
from langchain_core._api import suppress_langchain_beta_warning
from langchain_core.load import dumpd, load
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    message_chunk_to_message,
    messages_from_dict,
    messages_to_dict,
)
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from langchain_dspark.pieces import CallPiece, Figures, Piece, metadata
from langchain_dspark.response import Chunks, to_result


def figures(finish):
    told = metadata(
        model="m", finish_reason=finish, request_id="1", drafter=None, speculation={}, timings={}
    )
    return Figures(
        prompt_tokens=1, completion_tokens=1, cached_tokens=None, reasoning_tokens=None,
        metadata=told,
    )  # fmt: skip


def pieces(arguments, finish):
    return [
        Piece(calls=[CallPiece(0, "a", "delete", "")]),
        *(Piece(calls=[CallPiece(0, None, None, part)]) for part in arguments),
        Piece(figures=figures(finish)),
    ]


def joined(arguments, finish):
    chunks = Chunks()
    whole = None
    for piece in pieces(arguments, finish):
        for chunk in chunks.of(piece):
            whole = chunk.message if whole is None else whole + chunk.message
    return whole


CUT = ['{"path": ', '"/home/me']


def both(message):
    return message.tool_calls, [(call["id"], call["args"]) for call in message.invalid_tool_calls]


def test_a_joined_stream_has_no_call_that_was_cut():
    whole = joined(CUT, "length")
    assert both(whole) == ([], [("a", "".join(CUT))])
    message = message_chunk_to_message(whole)
    assert type(message) is AIMessage
    assert both(message) == both(whole)
    assert both(whole + AIMessageChunk("")) == both(whole)


@pytest.mark.filterwarnings(
    "ignore:The function `load` is in beta:langchain_core._api.LangChainBetaWarning"
)
def test_it_is_the_same_when_it_was_written_down():
    whole = joined(CUT, "length")
    assert isinstance(whole, AIMessageChunk)
    for again in (
        pickle.loads(pickle.dumps(whole)),
        whole.model_copy(deep=True),
        type(whole).model_validate(whole.model_dump()),
    ):
        assert both(again) == both(whole)
        assert type(again) is type(whole)
    again = load(dumpd(whole), allowed_objects="messages")
    assert isinstance(again, AIMessageChunk)
    assert both(again) == both(whole)
    for message in (whole, message_chunk_to_message(whole)):
        (again,) = messages_from_dict(messages_to_dict([message]))
        assert both(again) == both(whole)


@pytest.mark.parametrize("arguments", [CUT, [*CUT, '"}']])
def test_a_checkpoint_gives_back_a_joined_stream(arguments):
    """As LangGraph's functional API does of a task's result."""
    whole = joined(arguments, "length")
    assert len(whole.tool_calls) == (0 if arguments is CUT else 1)
    strict = JsonPlusSerializer(allowed_msgpack_modules=None)
    again = strict.loads_typed(strict.dumps_typed(whole))
    assert isinstance(again, AIMessageChunk)
    assert both(again) == both(whole)
    assert again.response_metadata == whole.response_metadata


RULES = [
    ([""], "tool_calls", {}),
    ([""], "length", None),
    (['{"text": "a\nb"}'], "tool_calls", {"text": "a\nb"}),
    (['{"a": 1', "}"], "length", {"a": 1}),
    (["[1]"], "tool_calls", None),
    (['{"a": 1'], "length", None),
]


@pytest.mark.parametrize(("arguments", "finish", "read"), RULES)
def test_a_stream_is_read_as_a_whole_answer_is(arguments, finish, read):
    streamed = message_chunk_to_message(joined(arguments, finish))
    answered = to_result(pieces(arguments, finish)).generations[0].message
    for message in (streamed, answered):
        assert [call["args"] for call in message.tool_calls] == ([] if read is None else [read])
        assert len(message.invalid_tool_calls) == (1 if read is None else 0)


def test_events_bring_a_call_whole_whose_end_comes_with_the_figures(chat, monkeypatch):
    """As an engine of this process sends it."""
    said = [
        Piece(calls=[CallPiece(0, "a", "delete", '{"path": ')]),
        Piece(calls=[CallPiece(0, None, None, '"/home"}')], figures=figures("tool_calls")),
    ]
    monkeypatch.setattr("langchain_dspark.local.pieces", lambda leases, call: (p for p in said))
    with suppress_langchain_beta_warning():
        stream = chat.stream_events("hi", version="v3")
        calls = stream.output.tool_calls
    assert [(call["id"], call["args"]) for call in calls] == [("a", {"path": "/home"})]
