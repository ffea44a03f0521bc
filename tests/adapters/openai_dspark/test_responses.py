"""The Responses API with the real ``openai`` package."""

from __future__ import annotations

import openai
import pytest

from agentspark.engine.result import Completion, Counts, Delta, Timings
from agentspark.models.tools.answer import AnswerFormat
from agentspark.models.tools.formats import HERMES
from agentspark.models.tools.reasoning import ReasoningFormat
from agentspark.sampling.params import SamplingParams
from openai_dspark.server.errors import ApiError
from openai_dspark.server.responses.conversation import Conversation
from openai_dspark.server.responses.events import EventWriter
from openai_dspark.server.responses.offer import Offer
from openai_dspark.server.responses.reply import ResponseHead, items_of
from openai_dspark.server.responses.translate import translate
from openai_dspark.wire.response_request import ResponseRequest

from ..serving import MODEL

ASKED = {"model": MODEL, "temperature": 0, "max_output_tokens": 12}
INPUT = [{"role": "user", "content": [{"type": "input_text", "text": "What does an agent read?"}]}]


def chat_text(client, messages):
    return (
        client.chat.completions.create(model=MODEL, temperature=0, max_tokens=12, messages=messages)
        .choices[0]
        .message.content
    )


def test_a_response_is_what_the_chat_says(client):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What does an agent read?"},
    ]
    response = client.responses.create(**ASKED, input=INPUT, instructions="Be brief.")
    assert response.output_text == chat_text(client, messages)
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage.output_tokens == 12
    assert response.usage.input_tokens_details.cached_tokens >= 0
    assert response.usage.output_tokens_details.reasoning_tokens == 0
    assert response.metrics["agentspark"]["arm"] == "accelerated"
    again = client.responses.create(**ASKED, input="What does an agent read?")
    assert again.output_text == chat_text(client, messages[1:])


def test_a_stream_tells_the_same_in_order(client):
    whole = client.responses.create(**ASKED, input=INPUT)
    events = list(client.responses.create(**ASKED, input=INPUT, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.incomplete",
    ]
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == whole.output_text == events[-1].response.output_text
    assert events[-1].response.usage.output_tokens == 12
    with client.responses.stream(**ASKED, input=INPUT) as stream:
        for _ in stream:
            pass


def test_a_stream_that_fails_keeps_what_it_said(client):
    late = {"x-agentspark-timeout": "0.3"}
    asked = {**ASKED, "max_output_tokens": 2000, "extra_body": {"agentspark": {"verify": 0}}}
    events = list(client.responses.create(**asked, input=INPUT, stream=True, extra_headers=late))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events][-5:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "error",
        "response.failed",
    ]
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    failed = events[-1].response
    assert events[-2].code == "deadline_exceeded"
    assert (failed.status, failed.error.code) == ("failed", "server_error")
    assert failed.output_text == text != ""
    assert failed.output[0].status == "incomplete"


def test_who_counts_on_kept_responses_is_told_what_to_do(client):
    with pytest.raises(openai.BadRequestError, match="store: false"):
        client.responses.create(**ASKED, input=INPUT, previous_response_id="resp_1")


def test_what_was_said_can_be_given_back(client):
    first = client.responses.create(**ASKED, input=INPUT)
    follow = {"role": "user", "content": "Go on."}
    output = [item.model_dump(exclude_none=True) for item in first.output]
    second = client.responses.create(**ASKED, input=[*INPUT, *output, follow])
    assert second.usage.input_tokens > first.usage.input_tokens
    assert second.usage.input_tokens_details.cached_tokens > first.usage.input_tokens - 9


def request(given, **more):
    return ResponseRequest.model_validate({"model": "m", "input": given, **more})


def test_what_codex_sends_is_answered(client):
    asked = {
        "model": MODEL, "instructions": "You are a coding agent.", "tool_choice": "auto",
        "input": [
            {"type": "message", "role": "developer", "content": [
                {"type": "input_text", "text": "Be brief."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
            {"type": "reasoning", "summary": [], "encrypted_content": None},
            called("1"), answered("1"),
        ],
        "tools": [
            {"type": "function", "name": "shell", "description": "Runs.", "strict": False,
             "parameters": {"type": "object", "properties": {"command": {
                 "type": "array", "items": {"type": "string"}}}, "required": ["command"],
                 "additionalProperties": False}},
            {"type": "namespace", "name": "multi_agent_v1", "description": "Sub-agents.", "tools": [
                {"type": "function", "name": "close_agent", "strict": False, "parameters": {
                    "type": "object", "properties": {"target": {"type": "string"}}}}]},
        ],
        "text": {"verbosity": "medium"},
        "parallel_tool_calls": False, "reasoning": None, "store": False, "stream": True,
        "include": [], "prompt_cache_key": "0198", "client_metadata": {"installation": "a"},
        "max_output_tokens": 8,
    }  # fmt: skip
    *_, last = client.responses.create(stream=True, extra_body=asked)
    assert last.type in ("response.completed", "response.incomplete")


def test_items_in_a_row_become_one_turn():
    body = request(
        [
            {"role": "developer", "content": "d"},
            {"role": "user", "content": "u"},
            {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]},
            {"role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": "2", "name": "g", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": "one"},
            {"type": "function_call_output", "call_id": "2", "output": "two"},
            {"role": "assistant", "content": "b"},
            {"role": "assistant", "content": "c"},
        ]
    )
    messages = Conversation.of(body).messages
    assert [message["role"] for message in messages] == [
        "developer", "user", "assistant", "tool", "tool", "assistant", "assistant",
    ]  # fmt: skip
    turn = messages[2]
    assert (turn["content"], turn["reasoning_content"]) == ("a", "hm")
    assert [call["id"] for call in turn["tool_calls"]] == ["1", "2"]
    assert [message["content"] for message in messages[-2:]] == ["b", "c"]


def thought(text):
    return {"type": "reasoning", "content": [{"type": "reasoning_text", "text": text}]}


def called(call_id):
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"}


def answered(call_id):
    return {"type": "function_call_output", "call_id": call_id, "output": "x"}


def test_reasoning_belongs_to_what_comes_next():
    said = [{"role": "assistant", "content": text} for text in ("a1", "a2")]
    calls = [thought("r3"), called("1"), thought("r4"), called("2"), answered("1"), answered("2")]
    given = request([thought("r1"), said[0], thought("r2"), said[1], *calls])
    first, second, *others = Conversation.of(given).messages
    assert (first["content"], first["reasoning_content"]) == ("a1", "r1")
    assert (second["content"], second["reasoning_content"]) == ("a2", "r2")
    # Calls that are answered together are one turn, as chats have it.
    assert [message["role"] for message in others] == ["assistant", "tool", "tool"]
    assert others[0]["reasoning_content"] == "r3r4"
    assert [call["id"] for call in others[0]["tool_calls"]] == ["1", "2"]


def test_every_part_of_a_chat_has_its_name_in_the_request():
    given = [
        {"role": "user", "content": "u"},
        thought("r"),
        {"role": "assistant", "content": "a"},
        called("1"),
        answered("1"),
    ]
    names = translate(request(given, instructions="i")).names
    for of_chat, own in (
        ("messages", "input"),
        ("messages[0].content", "instructions"),
        ("messages[1].content", "input[0].content"),
        ("messages[2]", "input[1]"),
        ("messages[2].content", "input[2].content"),
        ("messages[2].reasoning_content", "input[1]"),
        ("messages[2].tool_calls[0].id", "input[3].call_id"),
        ("messages[2].tool_calls[0].function.name", "input[3].name"),
        ("messages[2].tool_calls[0].function.arguments", "input[3].arguments"),
        ("messages[2].tool_calls[0]", "input[3]"),
        ("messages[3].tool_call_id", "input[4].call_id"),
        ("messages[3].content", "input[4].output"),
        ("max_tokens", "max_output_tokens"),
        ("response_format.json_schema.schema", "text.format.schema"),
        ("tools[2].function.parameters", "tools[2].parameters"),
        ("temperature", "temperature"),
    ):
        error = names.renamed(ApiError(400, f"{of_chat} is wrong.", param=of_chat))
        assert (error.param, str(error)) == (own, f"{own} is wrong.")
    plain = translate(request("text")).names
    assert plain.of("messages[0].content") == "input"


THOUGHT = "<think>hm</think>"
CALL = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'


@pytest.mark.parametrize(
    ("text", "finish", "statuses"),
    [
        ("<think>hm", "length", ["incomplete"]),
        (THOUGHT, "length", ["incomplete"]),
        (f"{THOUGHT}so", "length", ["completed", "incomplete"]),
        (f"{THOUGHT}so", "stop", ["completed", "completed"]),
        (f"{THOUGHT}{CALL}", "tool_calls", ["completed", "completed"]),
        (f"{THOUGHT}{CALL[:-20]}", "length", ["completed", "incomplete"]),
        (f"{THOUGHT}{CALL[:-20]}", "stop", ["completed", "incomplete"]),
        (f"so\n{CALL}\n{CALL[:-20]}", "length", ["completed", "completed", "incomplete"]),
        (f"{CALL}\n<tool_call>", "length", ["completed"]),
        ("", "length", ["incomplete"]),
        ("", "stop", ["completed"]),
    ],
)
def test_a_whole_response_has_the_items_of_its_stream(served, text, finish, statuses):
    form = AnswerFormat(HERMES, ReasoningFormat("<think>", "</think>"), "optional")
    reader = form.reader()
    parts = [reader.push(piece, 1, last=False) for piece in (text[:9], text[9:])]
    parts.append(reader.push("", 0, last=True))
    completion = Completion(
        "req-1", "m", None, [1], [2], text, finish, Counts(1), Timings(0.0), answer=reader.answer
    )
    head = ResponseHead("1", 0, request("text"), SamplingParams(), Offer())
    writer, done = EventWriter(head, served.app.service.texts.choice()), []
    for index, part in enumerate(parts):
        last = completion if index == len(parts) - 1 else None
        done += list(writer.events(Delta([], "", None, last, part)))
    streamed = [event.item for event in done if event.type == "response.output_item.done"]
    whole = [item.to_dict() for item in items_of(completion, "1", Offer())]
    assert whole == streamed == done[-1].response["output"]
    assert [item["status"] for item in whole] == statuses


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
         "input[0].content[0].type"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"truncation": "auto"}, "truncation"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"include": ["file_search_call.results"]}, "include[0]"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"reasoning": {"effort": "high"}}, "reasoning.effort"),
        ({"input": "word " * 4000}, "input"),
        ({"input": [*INPUT, answered("nobody")]}, "input[1].call_id"),
        ({"input": [*INPUT, {**called("1"), "name": ""}]}, "input[1].name"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tools": [{"type": "function", "name": "f"}] * 200}, "tools"),
        ({"tools": [{"type": "function", "name": "f", "parameters": {"type": 5}}]},
         "tools[0].parameters"),
        ({"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "nil"}}}},
         "text.format.schema"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_bad_values_are_named_in_this_apis_words(client, body, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/responses", body={"model": MODEL, "input": "a", **body}, cast_to=object)
    assert caught.value.param == param
    assert not any(name in str(caught.value) for name in ("messages", "response_format"))
    assert "function.parameters" not in str(caught.value)
