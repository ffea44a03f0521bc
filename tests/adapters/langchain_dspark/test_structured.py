"""Structured output is whole or an error, never what a cut answer says so far."""

from __future__ import annotations

import json
import pickle
from typing import TypedDict

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from pydantic import BaseModel, Field

from langchain_dspark.parsing import Parsing
from langchain_dspark.structured import structured
from langchain_dspark.whole import CheckCall, check_text

ASKED = "What does an agent read?"
METHODS = ["json_schema", "function_calling"]


class Pair(TypedDict):
    """Two numbers."""

    a: int
    b: int


class Both(BaseModel):
    """Two numbers."""

    a: int = Field(ge=0, le=9)
    b: int = Field(ge=0, le=9)


def say(text: str) -> str:
    """Say it."""
    return text


class Either(BaseModel):
    """Two numbers that may be left out: what is read of a cut text fits."""

    a: int = 0
    b: int = 0


@pytest.fixture(params=["invoke", "streaming"])
def short(request, chat):
    """Answers of 5 tokens, which no pair fits into."""
    return chat.model_copy(update={"max_tokens": 5, "streaming": request.param == "streaming"})


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("schema", [Pair, Both])
async def test_an_answer_that_was_cut_off_is_an_error(short, method, schema):
    cut = short.with_structured_output(schema, method=method)
    with pytest.raises(OutputParserException, match="max_tokens"):
        cut.invoke(ASKED)
    with pytest.raises(OutputParserException, match="max_tokens"):
        await cut.ainvoke(ASKED)
    with pytest.raises(OutputParserException, match="max_tokens"):
        list(cut.stream(ASKED))
    with pytest.raises(OutputParserException, match="max_tokens"):
        [chunk async for chunk in cut.astream(ASKED)]


@pytest.mark.parametrize("method", METHODS)
async def test_with_raw_the_error_is_a_part_of_the_answer(short, method):
    cut = short.with_structured_output(Pair, method=method, include_raw=True)
    total = {}
    for chunk in cut.stream(ASKED):
        total = chunk if not total else total + chunk
    for found in (cut.invoke(ASKED), await cut.ainvoke(ASKED), total):
        assert found["parsed"] is None
        assert isinstance(found["parsing_error"], OutputParserException)
        assert found["raw"].response_metadata["finish_reason"] == "length"


def said(text, finish="length"):
    return AIMessage(text, response_metadata={"finish_reason": finish})


def pieces(*texts, name=None, finish="length"):
    """The chunks of a stream: of a text, or of the arguments of a call of ``name``."""
    for place, text in enumerate(texts):
        if name is None:
            yield AIMessageChunk(text)
        else:
            first = {"name": name, "id": "1"} if place == 0 else {"name": None, "id": None}
            call = tool_call_chunk(args=text, index=0, **first)
            yield AIMessageChunk("", tool_call_chunks=[call])
    yield AIMessageChunk("", response_metadata={"finish_reason": finish}, chunk_position="last")


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}', '{"a": 1} and more', '```json\n{"a": 1}\n```\nThere.', 'So: ```{"a": 1}```'],
)
def test_whole_texts_pass(text):
    check_text(said(text))


@pytest.mark.parametrize(
    "text", ["", "{", '{"a": 1, ', '```json\n{"a": 1', "So:", '{"code": "```json {} ```", "a']
)
def test_cut_texts_do_not(text):
    with pytest.raises(OutputParserException, match="cut off at max_tokens"):
        check_text(said(text))
    with pytest.raises(OutputParserException, match="no whole JSON: it is"):
        check_text(said(text, "stop"))


def test_a_number_that_was_cut_may_be_another():
    check_text(said("12", "stop"))
    for text in ("true", "12 and", '"12"', "[12]"):
        check_text(said(text))
    with pytest.raises(OutputParserException, match="cut off"):
        check_text(said("12"))


class Seen(BaseCallbackHandler):
    """The parsers that tracers are told of."""

    def __init__(self):
        self.names = []

    def on_chain_start(self, serialized, inputs, *, name=None, **kwargs):
        self.names += [name] if "Parser" in (name or "") else []


@pytest.mark.parametrize("include_raw", [False, True])
@pytest.mark.parametrize("method", METHODS)
async def test_an_answer_is_parsed_once_where_it_shows(chat, method, include_raw):
    model = chat.model_copy(update={"max_tokens": 100})
    bound = model.with_structured_output(Both, method=method, include_raw=include_raw)
    expected = bound.invoke(ASKED)
    pickle.loads(pickle.dumps(bound.last))
    for how in ("invoke", "stream", "ainvoke", "astream"):
        seen = Seen()
        config = {"callbacks": [seen]}
        if how == "invoke":
            found = bound.invoke(ASKED, config)
        elif how == "ainvoke":
            found = await bound.ainvoke(ASKED, config)
        else:
            parts = list(bound.stream(ASKED, config)) if how == "stream" else []
            parts = parts or [part async for part in bound.astream(ASKED, config)]
            found = sum(parts[1:], parts[0]) if include_raw else parts[-1]
        assert len(seen.names) == 1
        if include_raw:
            assert found["parsing_error"] is None
            assert (found["parsed"], found["raw"].tool_calls and 1) == (
                expected["parsed"], expected["raw"].tool_calls and 1
            )  # fmt: skip
        else:
            assert found == expected
    assert bound.get_output_jsonschema()


def test_streams_bring_what_can_be_read_and_are_checked_at_their_end(chat):
    by_text = structured(chat, Pair, "json_schema", False, None, {}).last
    by_call = structured(chat, Pair, "function_calling", False, None, {}).last
    assert isinstance(by_text, Parsing)
    for parsing, name in ((by_text, None), (by_call, "Pair")):
        whole = parsing.transform(pieces('{"a"', ": 1,", '"b": 2}', name=name, finish="stop"))
        assert list(whole)[-2:] == [{"a": 1}, {"a": 1, "b": 2}]
        cut = parsing.transform(pieces('{"a"', ": 1,", '"b": 2', name=name))
        seen = []
        with pytest.raises(OutputParserException, match="cut off"):
            seen.extend(cut)
            pytest.fail("a cut stream ended well")


@pytest.mark.parametrize("method", METHODS)
def test_defaults_do_not_make_a_cut_answer_whole(chat, method):
    parsing = structured(chat, Either, method, False, None, {}).last
    name = "Either" if method == "function_calling" else None
    whole = parsing.transform(pieces('{"a": 1', ', "b": 2}', name=name))
    assert list(whole)[-1] == Either(a=1, b=2)
    with pytest.raises(OutputParserException, match="cut off"):
        list(parsing.transform(pieces('{"a": 1', ', "b"', name=name)))


def test_a_call_of_a_joined_stream_that_was_cut_is_invalid(chat):
    """LangChain completes it: its last field is a text, and what is there of it looks like one."""
    short = chat.model_copy(update={"max_tokens": 40, "streaming": True})
    said = short.bind_tools([say], tool_choice="say").invoke(ASKED)
    assert not said.tool_calls
    (cut,) = said.invalid_tool_calls
    assert cut["args"].startswith('{"text"')
    assert said.response_metadata["cut_tool_calls"] == [cut["id"]]
    with pytest.raises(OutputParserException, match="max_tokens"):
        short.with_structured_output(say, method="function_calling").invoke(ASKED)
    whole = chat.model_copy(update={"max_tokens": 200, "streaming": True})
    answer = whole.bind_tools([Both], tool_choice="Both").invoke(ASKED)
    assert "cut_tool_calls" not in answer.response_metadata


def test_a_call_is_whole_and_has_what_it_must():
    check = CheckCall("Pair", frozenset("ab"))
    call = {"name": "Pair", "id": "1", "type": "tool_call"}
    check(AIMessage("", tool_calls=[{**call, "args": {"a": 1, "b": 2}}]))
    with pytest.raises(OutputParserException, match="has no b"):
        check(AIMessage("", tool_calls=[{**call, "args": {"a": 1}}]))
    with pytest.raises(OutputParserException, match="no whole call of Pair"):
        check(AIMessage(json.dumps({"a": 1, "b": 2})))
