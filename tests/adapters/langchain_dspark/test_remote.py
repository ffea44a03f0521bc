"""A model behind a server says what a model in this process says, and fails as it does."""

from __future__ import annotations

import asyncio
import json
from typing import Literal

import httpx
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from pydantic import BaseModel, Field

from agentspark.errors import (
    ConfigError,
    ContextLengthError,
    InvalidRequestError,
    RemoteConnectionError,
    RemoteStatusError,
    RequestTimeoutError,
)
from agentspark.trace import read_trace
from langchain_dspark import ChatDSpark
from langchain_dspark.remote import ChunkReader
from langchain_dspark.response import to_chunk, to_result
from openai_dspark.wire.chat_chunk import ChatChunk, ChatDelta, ChunkChoice

from ..serving import MODEL
from ..slow import slow

ASKED = "What does an agent read?"


class Note(BaseModel):
    """What was found in a file."""

    file: Literal["a.py", "b.py"]
    lines: int = Field(ge=0, le=999)


def look(path: str) -> str:
    """Look into a file."""
    return path


@pytest.fixture
def remote(served):
    with ChatDSpark(model=MODEL, base_url=f"{served.url}/v1", max_tokens=12) as model:
        yield model


@pytest.fixture(params=["chat", "remote"])
def either(request):
    return request.getfixturevalue(request.param)


def whole(chunks):
    total = None
    for chunk in chunks:
        total = chunk if total is None else total + chunk
    return total


def test_both_modes_say_the_same_and_tell_the_same(chat, remote):
    here, there = chat.invoke(ASKED), remote.invoke(ASKED)
    assert there.content == here.content
    assert there.usage_metadata["output_tokens"] == here.usage_metadata["output_tokens"]
    assert set(there.usage_metadata["input_token_details"]) == {"cache_read"}
    said, known = there.response_metadata, here.response_metadata
    assert set(said) == set(known)
    assert set(said["speculation"]) == set(known["speculation"])
    assert set(said["timings"]) == set(known["timings"])
    assert said["model_provider"] == "agentspark"
    assert said["finish_reason"] == "length"
    assert said["timings"]["ttft_ms"] > 0


async def test_every_way_of_calling_says_the_same(remote):
    expected = remote.invoke(ASKED)
    assert whole(remote.stream(ASKED)).content == expected.content
    assert (await remote.ainvoke(ASKED)).content == expected.content
    chunks = [chunk async for chunk in remote.astream(ASKED)]
    assert "".join(chunk.text for chunk in chunks) == expected.content
    assert chunks[-1].chunk_position == "last"
    assert chunks[-1].usage_metadata["output_tokens"] == 12
    assert [answer.content for answer in await remote.abatch([ASKED] * 2)] == [expected.content] * 2


def test_event_loops_come_and_go(remote):
    texts = {asyncio.run(remote.ainvoke(ASKED)).content for _ in range(3)}
    assert len(texts) == 1


def test_tools_are_called_as_the_schema_wants(either):
    bound = either.bind_tools([look, Note], tool_choice="any", parallel_tool_calls=False)
    for answer in (
        bound.invoke(ASKED, max_tokens=200),
        whole(bound.stream(ASKED, max_tokens=200)),
    ):
        assert answer.invalid_tool_calls == []
        (call,) = answer.tool_calls
        assert call["id"].startswith("call_")
        if call["name"] == "Note":
            Note.model_validate(call["args"])
        else:
            assert (call["name"], set(call["args"])) == ("look", {"path"})
    named = either.bind_tools([look, Note], tool_choice="Note").invoke(ASKED, max_tokens=200)
    assert {call["name"] for call in named.tool_calls} == {"Note"}
    assert either.bind_tools([look], tool_choice="none").invoke(ASKED).tool_calls == []


def test_a_cut_call_can_be_answered(either):
    bound = either.bind_tools([look], tool_choice="any")
    cut = bound.invoke(ASKED, max_tokens=28)
    (call,) = cut.invalid_tool_calls
    # As LangChain's agents answer it themselves.
    answered = [HumanMessage(ASKED), cut, ToolMessage("No JSON.", tool_call_id=call["id"])]
    usage = bound.invoke(answered).usage_metadata
    assert usage["input_token_details"]["cache_read"] > cut.usage_metadata["input_tokens"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_fits_its_class(either, method):
    longer = either.model_copy(update={"max_tokens": 200})
    structured = longer.with_structured_output(Note, method=method)
    assert isinstance(structured.invoke(ASKED), Note)
    raw = longer.with_structured_output(Note.model_json_schema(), method=method, include_raw=True)
    found = raw.invoke(ASKED)
    assert found["parsing_error"] is None
    Note.model_validate(found["parsed"])
    assert found["raw"].response_metadata["model_provider"] == "agentspark"


def test_json_mode_gives_some_object(either):
    answer = either.bind(response_format={"type": "json_object"}).invoke(ASKED, max_tokens=40)
    assert isinstance(json.loads(answer.content), dict)


def test_wrong_shapes_are_named_in_both_modes(either):
    with pytest.raises(InvalidRequestError, match="none of the tools"):
        either.bind_tools([look], tool_choice="jump")
    with pytest.raises(InvalidRequestError, match="method"):
        either.with_structured_output(Note, method="magic")
    with pytest.raises(InvalidRequestError, match="no argument"):
        either.with_structured_output(Note, tools=[])
    with pytest.raises(InvalidRequestError) as caught:
        either.invoke(ASKED, temperature=-1)
    assert caught.value.param == "temperature"
    with pytest.raises(ContextLengthError):
        either.invoke("word " * 3000)
    with pytest.raises(RequestTimeoutError, match=r"timeout of 0\.05 s"):
        either.invoke(ASKED, timeout=0.05, max_tokens=1500)
    with pytest.raises(InvalidRequestError, match="logit_bias"):
        either.invoke(ASKED, logit_bias={"x": "y"})


def test_fields_that_change_the_answer_are_sent(chat, remote):
    for given in (
        {"temperature": 1.0, "seed": 3},
        {"logit_bias": {300: 100}},
        {"stop": ["e"]},
        {"repetition_penalty": 1.5},
        {"speculation": "suffix", "verify": 2, "share_prefix": False},
        {"prediction": "An agent reads files."},
    ):
        assert remote.invoke(ASKED, **given).content == chat.invoke(ASKED, **given).content, given


def test_leaving_a_stream_cancels_it_at_the_server(served, remote):
    stream = remote.stream(ASKED, max_tokens=1500)
    next(stream)
    stream.close()
    assert served.settled()


def test_labels_and_tags_arrive(served, remote, trace_file):
    remote.invoke(
        ASKED,
        config={"tags": ["agentspark_run:tagged"], "metadata": {"agentspark_step": 7}},
    )
    list(remote.stream(ASKED, config={"tags": ["agentspark_run:Fluß"]}))
    first, second = (json.loads(line) for line in trace_file.read_text().splitlines()[-2:])
    assert (first["run"], first["step"]) == ("tagged", 7)
    assert second["run"] == "Fluß"


async def test_calls_on_a_server_are_recorded_here(served, tmp_path):
    path, labels = tmp_path / "mine.jsonl", {"tags": ["agentspark_run:mine"]}
    address = {"base_url": f"{served.url}/v1", "model": MODEL, "max_tokens": 12}
    with ChatDSpark(**address, trace=path) as model:
        answer = model.invoke(ASKED, config=labels)
        await model.ainvoke(ASKED, config=labels)
    first, second = read_trace(path).records
    assert [first.step, second.step] == [1, 2]
    assert first.run == second.run == "mine"
    assert first.output_hash == second.output_hash
    assert first.completion_tokens == answer.usage_metadata["output_tokens"]
    assert first.rounds == answer.response_metadata["speculation"]["rounds"]


def test_tokens_cannot_be_counted_from_afar(remote):
    with pytest.raises(InvalidRequestError, match="usage_metadata"):
        remote.get_num_tokens("a")


def test_tools_count_in_this_process(chat):
    from langchain_core.messages import HumanMessage

    plain = chat.get_num_tokens_from_messages([HumanMessage(ASKED)])
    assert chat.get_num_tokens_from_messages([HumanMessage(ASKED)], tools=[look]) > plain


def test_a_rate_limiter_is_asked(either):
    limiter = InMemoryRateLimiter(requests_per_second=1000, check_every_n_seconds=0.001)
    limited = either.model_copy(update={"rate_limiter": limiter})
    limited.invoke(ASKED, max_tokens=1)
    assert limiter.last is not None


def test_a_server_that_is_not_there_is_an_error_of_the_call():
    nowhere = {"base_url": "http://127.0.0.1:9/v1", "max_retries": 0}
    with ChatDSpark(**nowhere) as model, pytest.raises(RemoteConnectionError):
        model.invoke(ASKED)
    with ChatDSpark(base_url="nonsense") as model, pytest.raises(ConfigError):
        model.invoke(ASKED)


def test_a_key_is_sent_and_its_refusal_arrives(served, monkeypatch):
    monkeypatch.setattr(served.app.service, "keys", type(served.app.service.keys)(["right-key"]))
    base = {"model": MODEL, "base_url": f"{served.url}/v1", "max_tokens": 1}
    with ChatDSpark(**base, api_key="right-key") as model:
        assert model.invoke(ASKED).usage_metadata["output_tokens"] == 1
    with ChatDSpark(**base, api_key="wrong-key") as model, pytest.raises(RemoteStatusError):
        model.invoke(ASKED)
    assert httpx.get(f"{served.url}/health").status_code == 200


def test_what_a_server_does_not_count_is_unknown():
    chunk = ChatChunk(
        id="1",
        object="chat.completion.chunk",
        created=0,
        model="m",
        choices=[ChunkChoice(index=0, delta=ChatDelta(content="a"), finish_reason="stop")],
    )
    reader = ChunkReader()
    pieces = [reader.push(chunk), reader.last()]
    assert to_result(pieces).generations[0].message.usage_metadata is None
    assert to_chunk(pieces[-1]).message.usage_metadata is None
    assert to_chunk(pieces[-1]).message.response_metadata["finish_reason"] == "stop"


OURS = [(0, "1", "f"), (0, None, None), (1, "2", "g"), (1, None, None)]
ALL_FIRST = [(0, "1", "f"), (0, None, None), (0, "2", "g"), (0, None, None)]
UNNUMBERED = [(None, "1", "f"), (None, "1", None), (None, "2", "g"), (None, "", None)]
ALWAYS_NAMED = [(0, "1", "f"), (0, "1", "f"), (1, "2", "g"), (1, "2", "g")]
FROM_ONE = [(1, "1", "f"), (1, None, None), (2, "2", "g"), (2, None, None)]
ID_EACH_TIME = [(0, "1", "f"), (0, "x", None), (1, "2", "g"), (1, "y", "")]


@pytest.mark.parametrize(
    "sent", [OURS, ALL_FIRST, UNNUMBERED, ALWAYS_NAMED, FROM_ONE, ID_EACH_TIME]
)
def test_calls_are_told_apart_however_a_server_numbers_them(sent):
    reader, pieces = ChunkReader(), []
    for (index, ident, name), arguments in zip(sent, ['{"a"', ": 1}", '{"b"', ": 2}"], strict=True):
        piece = {"id": ident, "function": {"name": name, "arguments": arguments}}
        told = piece if index is None else {**piece, "index": index}
        delta = ChatDelta.model_validate({"tool_calls": [told]})
        choice = ChunkChoice(index=0, delta=delta)
        pieces.append(reader.push(chunk(choices=[choice])))
    message = to_result([*pieces, reader.last()]).generations[0].message
    told = [(call["name"], call["args"]) for call in message.tool_calls]
    assert told == [("f", {"a": 1}), ("g", {"b": 2})]


def chunk(**more):
    said = {"index": 0, "delta": {"content": "a"}}
    shared = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    return ChatChunk.model_validate({**shared, "choices": [said], **more})


@pytest.mark.parametrize("place", ["first", "last", "both"])
def test_usage_may_come_with_any_chunk(place):
    counted = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    told = {"usage": counted, "metrics": {"agentspark": {"drafter": "d"}}}
    early = {"usage": counted | {"completion_tokens": 0}} if place == "both" else told
    reader = ChunkReader()
    for given in (
        chunk(**({} if place == "last" else early)),
        chunk(**({} if place == "first" else told)),
        chunk(choices=[]),
    ):
        reader.push(given)
    figures = reader.last().figures
    assert (figures.prompt_tokens, figures.completion_tokens) == (3, 1)
    assert figures.metadata["drafter"] == "d"


@pytest.mark.parametrize(
    "labels", [{"arm": "fast"}, {"step": -4}, {"step": 10**9}, {"run": "a\nb"}, {"run": "a" * 257}]
)
def test_labels_are_checked_in_both_modes(either, labels):
    (name,) = labels
    with pytest.raises(InvalidRequestError, match=f"label {name}") as caught:
        either.invoke(ASKED, labels=labels)
    assert caught.value.param == name


@pytest.mark.parametrize("how", ["hangs", "drips"])
async def test_a_timeout_bounds_the_call_whatever_the_server_does(how, monkeypatch):
    monkeypatch.setattr("openai_dspark.client.deadline.GRACE_S", 0.05)
    with slow(how) as server, ChatDSpark(base_url=server.url, model="m", timeout=0.2) as model:
        with pytest.raises(RequestTimeoutError, match=r"timeout of 0\.2 s"):
            model.invoke(ASKED)
        with pytest.raises(RequestTimeoutError, match=r"timeout of 0\.2 s"):
            await model.ainvoke(ASKED)
    assert len(server.told) == 2
