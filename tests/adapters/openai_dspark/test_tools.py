"""Tools and structured answers over HTTP, with the real ``openai`` package."""

from __future__ import annotations

import json

import openai
import pytest
from jsonschema import validate
from pydantic import BaseModel

from agentspark.engine.chat_format import ChatFormat
from agentspark.engine.params import RequestOptions
from agentspark.sampling.params import SamplingParams

from ..serving import MODEL

CHAT = [{"role": "user", "content": "Look into the files."}]
ASKED = {"model": MODEL, "messages": CHAT, "temperature": 0, "max_tokens": 160}
PARAMETERS = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "maxLength": 8},
        "lines": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["path", "lines"],
}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": PARAMETERS}}
    for name in ("look", "read")
]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "note", "schema": PARAMETERS}}


def allowed(mode, *tools):
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [*tools]}}


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_required_call_fits_its_schema(client, temperature):
    for choice, names in (
        ("required", {"look", "read"}),
        ({"type": "function", "function": {"name": "read"}}, {"read"}),
        (allowed("required", {"type": "function", "function": {"name": "read"}}), {"read"}),
    ):
        answer = client.chat.completions.create(
            **{**ASKED, "temperature": temperature, "seed": 4},
            tools=TOOLS,
            tool_choice=choice,
            parallel_tool_calls=False,
        ).choices[0]
        assert answer.finish_reason == "tool_calls"
        (call,) = answer.message.tool_calls
        assert call.id.startswith("call_")
        assert call.type == "function"
        assert call.function.name in names
        validate(json.loads(call.function.arguments), PARAMETERS)
        assert answer.message.content is None


def test_a_streamed_call_names_itself_once_and_adds_up(client):
    asked = {**ASKED, "tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False}
    whole = client.chat.completions.create(**asked).choices[0].message.tool_calls[0]
    deltas = []
    for chunk in client.chat.completions.create(**asked, stream=True):
        deltas += chunk.choices[0].delta.tool_calls or []
        reason = chunk.choices[0].finish_reason
    assert reason == "tool_calls"
    first, *rest = deltas
    assert (first.index, first.function.name, first.type) == (0, whole.function.name, "function")
    assert first.function.arguments == ""
    assert first.id.startswith("call_")
    assert all(d.id is None and d.function.name is None and d.index == 0 for d in rest)
    assert len(rest) > 1
    assert "".join(d.function.arguments for d in rest) == whole.function.arguments
    with client.chat.completions.stream(**asked) as events:
        for _ in events:
            pass
        final = events.get_final_completion().choices[0].message.tool_calls[0]
    assert final.function.arguments == whole.function.arguments


@pytest.mark.parametrize("limit", [1, 3, 8, 12, 18, 24])
def test_a_call_cut_short_is_the_same_whole_and_streamed(client, limit):
    asked = {**ASKED, "max_tokens": limit, "tools": TOOLS, "tool_choice": "required"}
    answer = client.chat.completions.create(**asked).choices[0]
    content, calls = "", []
    for chunk in client.chat.completions.create(**asked, stream=True):
        delta, reason = chunk.choices[0].delta, chunk.choices[0].finish_reason
        content += delta.content or ""
        for piece in delta.tool_calls or []:
            if piece.index == len(calls):
                assert piece.id.startswith("call_")
                calls.append([piece.function.name, ""])
            calls[piece.index][1] += piece.function.arguments
    assert answer.finish_reason == reason == "length"
    assert content == (answer.message.content or "") == ""
    told = [[c.function.name, c.function.arguments] for c in answer.message.tool_calls or []]
    assert told == calls
    assert calls or limit < 24  # the longest has come to the arguments


def test_a_call_cut_short_can_be_given_back(client):
    asked = {**ASKED, "max_tokens": 28, "tools": TOOLS, "tool_choice": "required"}
    answer = client.chat.completions.create(**asked)
    message = answer.choices[0].message
    with pytest.raises(ValueError, match=r"line 1"):
        json.loads(message.tool_calls[0].function.arguments)
    said = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "No JSON."}
    more = client.chat.completions.create(**asked | {"messages": [*CHAT, message, said]})
    # Its tokens are those that were generated: all full blocks of them are there again.
    assert more.usage.prompt_tokens_details.cached_tokens > answer.usage.prompt_tokens


def test_what_was_parsed_can_be_given_back(served):
    call = {"name": "look", "arguments": '{"where": "here"}', "parsed_arguments": {"where": "here"}}
    said = {
        "role": "assistant", "content": '{"a": 1}', "parsed": {"a": 1}, "refusal": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": call}],
    }  # fmt: skip
    chat = [
        {"role": "user", "content": "Look."}, said,
        {"role": "tool", "content": "x", "tool_call_id": "c1"},
    ]  # fmt: skip
    tokens = served.chat(messages=chat).json()["usage"]["prompt_tokens"]
    del said["parsed"], call["parsed_arguments"]
    assert served.chat(messages=chat).json()["usage"]["prompt_tokens"] == tokens


def test_none_forbids_calls(client):
    answer = client.chat.completions.create(
        **{**ASKED, "max_tokens": 24}, tools=TOOLS, tool_choice="none"
    ).choices[0]
    assert answer.message.tool_calls is None


def test_the_tools_answer_extends_the_prompt(client):
    asked = {**ASKED, "tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False}
    first = client.chat.completions.create(**asked)
    said = first.choices[0].message
    messages = [*CHAT, said.model_dump(exclude_none=True)]
    for call in said.tool_calls:
        messages.append({"role": "tool", "tool_call_id": call.id, "content": "3 lines"})
    second = client.chat.completions.create(**{**asked, "messages": messages})
    grown = first.usage.prompt_tokens + first.usage.completion_tokens
    assert second.usage.prompt_tokens_details.cached_tokens >= (grown - 1) // 8 * 8
    assert second.metrics["agentspark"]["run"] == first.metrics["agentspark"]["run"]
    assert second.metrics["agentspark"]["step"] == first.metrics["agentspark"]["step"] + 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_schema_is_kept(client, temperature):
    answer = client.chat.completions.create(
        **{**ASKED, "temperature": temperature, "seed": 9}, response_format=SCHEMA
    )
    validate(json.loads(answer.choices[0].message.content), PARAMETERS)

    class Note(BaseModel):
        ready: bool
        marks: list[int]

    parsed = client.chat.completions.parse(
        model=MODEL, messages=CHAT, temperature=0, max_tokens=100, response_format=Note
    )
    assert isinstance(parsed.choices[0].message.parsed, Note)
    chosen = client.chat.completions.create(
        **ASKED, extra_body={"structured_outputs": {"choice": ["yes", "no"]}}
    )
    assert chosen.choices[0].message.content in ("yes", "no")
    legacy = client.completions.create(
        model=MODEL, prompt="a", max_tokens=60, temperature=0,
        extra_body={"response_format": SCHEMA},
    )  # fmt: skip
    validate(json.loads(legacy.choices[0].text), PARAMETERS)


@pytest.mark.parametrize(
    "shape",
    [{"tools": TOOLS, "tool_choice": "required"}, {"response_format": SCHEMA}],
    ids=["tools", "schema"],
)
def test_http_in_process_and_baseline_are_the_same_tokens(served, client, shape):
    over = client.chat.completions.create(**ASKED, **shape)
    base = client.chat.completions.create(**{**ASKED, "model": f"{MODEL}:baseline"}, **shape)
    plain = served.engine.chat(
        CHAT,
        SamplingParams(max_tokens=160),
        chat=ChatFormat.of(**shape),
        options=RequestOptions(speculation="off", share_prefix=False),
    )

    def calls(message):
        return [(c.function.name, c.function.arguments) for c in message.tool_calls or ()]

    for answer in (over, base):
        message = answer.choices[0].message
        assert (message.content or "") == plain.content
        assert calls(message) == [(c.name, c.arguments) for c in plain.tool_calls]
        assert answer.usage.completion_tokens == plain.counts.completion_tokens


def test_responses_call_tools_too(client):
    tools = [{"type": "function", "name": "look", "parameters": PARAMETERS, "strict": False}]
    asked = {
        "model": MODEL, "input": "Look.", "tools": tools, "tool_choice": "required",
        "parallel_tool_calls": False, "temperature": 0, "max_output_tokens": 160,
    }  # fmt: skip
    response = client.responses.create(**asked)
    call = next(item for item in response.output if item.type == "function_call")
    validate(json.loads(call.arguments), PARAMETERS)
    assert response.status == "completed"
    named = {"type": "function", "name": "look"}
    some = {"type": "allowed_tools", "mode": "required", "tools": [named]}
    more = [*tools, {**tools[0], "name": "read"}]
    chosen = client.responses.create(**{**asked, "tools": more, "tool_choice": some})
    assert {item.name for item in chosen.output if item.type == "function_call"} == {"look"}
    assert chosen.tool_choice.type == "allowed_tools"
    events = list(client.responses.create(**asked, stream=True))
    done = [e for e in events if e.type == "response.function_call_arguments.done"]
    assert done[0].arguments == call.arguments
    pieces = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
    assert "".join(pieces) == call.arguments
    follow = [
        {"role": "user", "content": "Look."},
        call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": "nothing"},
    ]
    again = client.responses.create(**{**asked, "input": follow})
    assert again.usage.input_tokens > response.usage.input_tokens
    text = {"format": {"type": "json_schema", "name": "n", "schema": PARAMETERS}}
    shaped = client.responses.create(
        model=MODEL, input="Note.", text=text, temperature=0, max_output_tokens=100
    )
    validate(json.loads(shaped.output_text), PARAMETERS)


RECURSIVE = {"type": "object", "properties": {"next": {"$ref": "#"}}}
BAD = [
    ({"tools": TOOLS * 100}, "tools"),
    ({"tools": [*TOOLS, TOOLS[0]]}, "tools"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "function", "function": {"name": "no spaces please"}}]},
     "tools[0].function.name"),
    ({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": 5}}}]},
     "tools[0].function.parameters"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "jump"}}},
     "tool_choice"),
    ({"tools": TOOLS, "tool_choice": allowed("none", {"type": "function",
        "function": {"name": "look"}})}, "tool_choice.allowed_tools.mode"),
    ({"tools": TOOLS, "tool_choice": allowed("auto")}, "tool_choice.allowed_tools.tools"),
    ({"tools": TOOLS, "tool_choice": allowed("auto", {"type": "mcp", "server_label": "x"})},
     "tool_choice.allowed_tools.tools[0].type"),
    ({"tools": TOOLS, "tool_choice": allowed("auto", {"type": "function",
        "function": {"name": "jump"}})}, "tool_choice"),
    ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
     "response_format.json_schema"),
    ({"response_format": {"type": "xml"}}, "response_format"),
    ({"structured_outputs": {"regex": "("}}, "structured_outputs.regex"),
    ({"messages": [*CHAT, {"role": "tool", "tool_call_id": "nobody", "content": "x"}]},
     "messages[1].tool_call_id"),
    ({"messages": [*CHAT, {"role": "assistant", "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "", "arguments": "{}"}}]}]},
     "messages[1].tool_calls[0].function.name"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "param"), BAD, ids=lambda value: str(value)[:50])
def test_bad_tools_and_shapes_are_named(client, body, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.post(
            "/chat/completions",
            body={"model": MODEL, "messages": CHAT, "max_tokens": 4, **body},
            cast_to=object,
        )
    assert caught.value.param.startswith(param)


def test_a_recursive_schema_is_kept_or_refused(client):
    shape = {"type": "json_schema", "json_schema": {"name": "r", "schema": RECURSIVE}}
    answer = client.chat.completions.create(**ASKED, response_format=shape)
    validate(json.loads(answer.choices[0].message.content), RECURSIVE)


def test_ten_thousand_tools_are_refused_quickly_and_others_go_on(served, client):
    tools = [
        {"type": "function", "function": {"name": f"tool_{n}", "parameters": PARAMETERS}}
        for n in range(10_000)
    ]
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**ASKED, tools=tools)
    assert caught.value.param == "tools"
    assert served.chat().status_code == 200
