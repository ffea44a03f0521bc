"""Namespaces and custom tools of the Responses API, with the real ``openai`` package."""

from __future__ import annotations

import json
import re

import openai
import pytest
from jsonschema import validate

from openai_dspark.server.responses.spoken import InputReader, ToolName, read_input

from ..serving import MODEL

PARAMETERS = {
    "type": "object",
    "properties": {"path": {"type": "string", "maxLength": 8}},
    "required": ["path"],
}
LOOK = {"type": "function", "name": "look", "parameters": PARAMETERS, "strict": False}
FILES = {"type": "namespace", "name": "files", "description": "Of files.", "tools": [LOOK]}
WORDS = {"type": "namespace", "name": "words", "description": "Of words.", "tools": [LOOK]}
PATTERN = {"type": "grammar", "syntax": "regex", "definition": '[a-c]{2,5}\n"[0-9]"'}
PATCH = {"type": "custom", "name": "patch", "description": "A patch.", "format": PATTERN}
ASKED = {
    "model": MODEL, "input": "Look.", "tool_choice": "required", "parallel_tool_calls": False,
    "temperature": 0, "max_output_tokens": 160,
}  # fmt: skip


def allowed(mode, *tools):
    return {"type": "allowed_tools", "mode": mode, "tools": [*tools]}


def calls(response):
    return [item for item in response.output if item.type.endswith("call")]


def streamed(client, **asked):
    """A stream's events, and the response that ends it."""
    with client.responses.stream(**asked) as stream:
        events = list(stream)
    return events, events[-1].response


def test_calls_come_back_with_their_namespace(client):
    tools = [FILES, WORDS, {**LOOK, "name": "stop"}]
    only = allowed("required", {"type": "namespace", "name": "words"})
    asked = {**ASKED, "tools": tools, "tool_choice": only}
    response = client.responses.create(**asked)
    (call,) = calls(response)
    assert (call.type, call.name, call.namespace) == ("function_call", "look", "words")
    validate(json.loads(call.arguments), PARAMETERS)
    assert [tool.type for tool in response.tools] == ["namespace", "namespace", "function"]
    assert response.tools[0].tools[0].name == "look"
    events, final = streamed(client, **asked)
    added = next(e.item for e in events if e.type == "response.output_item.added")
    assert (added.name, added.namespace, added.arguments) == ("look", "words", "")
    done = next(e for e in events if e.type == "response.function_call_arguments.done")
    assert (done.name, done.arguments) == ("look", call.arguments)
    assert (calls(final)[0].namespace, calls(final)[0].name) == ("words", "look")
    alone = client.responses.create(**{**asked, "tools": [LOOK], "tool_choice": "required"})
    assert "namespace" not in calls(alone)[0].to_dict()


@pytest.mark.parametrize("tool", [FILES, {**PATCH, "format": {"type": "text"}}])
def test_a_call_that_is_given_back_extends_its_prompt(client, tool):
    asked = {**ASKED, "tools": [tool]}
    first = client.responses.create(**asked)
    (call,) = calls(first)
    result = {"type": f"{call.type}_output", "call_id": call.call_id, "output": "nothing"}
    replayed = [{"role": "user", "content": "Look."}, call.to_dict(), result]
    second = client.responses.create(**{**asked, "input": replayed})
    grown = first.usage.total_tokens
    assert second.usage.input_tokens_details.cached_tokens >= (grown - 1) // 8 * 8
    assert second.metrics["agentspark"]["run"] == first.metrics["agentspark"]["run"]


def test_the_model_is_told_of_a_namespace(served):
    def tokens(tools):
        body = {"model": MODEL, "input": "a", "tools": tools, "max_output_tokens": 1}
        return served.post("/v1/responses", json=body).json()["usage"]["input_tokens"]

    plain = {**LOOK, "name": "files__look", "description": "[files__*: Of files.]"}
    assert tokens([FILES]) == tokens([plain])
    both = {**FILES, "tools": [{**LOOK, "description": "Looks."}, {**LOOK, "name": "read"}]}
    first = {**plain, "description": "[files__*: Of files.]\nLooks."}
    assert tokens([both]) == tokens([first, {**LOOK, "name": "files__read"}])


def test_names_for_the_model_are_short_and_its_own():
    assert ToolName("look").spoken == "look"
    assert ToolName("look", "files").spoken == "files__look"
    assert ToolName("look", "mcp__files__").spoken == "mcp__files__look"
    long = [ToolName("n" * 60 + end, "files") for end in "ab"]
    spoken = {name.spoken for name in long}
    assert len(spoken) == 2
    assert all(re.fullmatch(r"[a-z_0-9]{64}", name) for name in spoken)
    assert ToolName("n" * 60 + "a", "files").spoken in spoken


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_custom_tool_takes_a_text_of_its_pattern(client, temperature):
    asked = {**ASKED, "temperature": temperature, "tools": [PATCH]}
    if temperature:
        for _ in range(3):
            (call,) = calls(client.responses.create(**asked))
            assert re.fullmatch(PATTERN["definition"], call.input)
        return
    named = {"type": "custom", "name": "patch"}
    (call,) = calls(client.responses.create(**{**asked, "tool_choice": named}))
    assert (call.type, call.name) == ("custom_tool_call", "patch")
    assert re.fullmatch(PATTERN["definition"], call.input)
    events, final = streamed(client, **asked)
    kinds = [event.type for event in events]
    assert "response.function_call_arguments.delta" not in kinds
    pieces = [e.delta for e in events if e.type == "response.custom_tool_call_input.delta"]
    assert len(pieces) > 1
    assert all(pieces)
    done = next(e for e in events if e.type == "response.custom_tool_call_input.done")
    assert "".join(pieces) == done.input == call.input == calls(final)[0].input
    assert calls(final)[0].id == done.item_id


@pytest.mark.parametrize("limit", [10, 14, 18, 22])
def test_an_input_cut_short_is_the_same_whole_and_streamed(client, limit):
    tool = {**PATCH, "format": {**PATTERN, "definition": "[a-c]{60}"}}
    asked = {**ASKED, "tools": [tool], "max_output_tokens": limit}
    whole = client.responses.create(**asked)
    _, final = streamed(client, **asked)

    def told(response):
        return [(item.type, getattr(item, "input", None)) for item in response.output]

    assert told(whole) == told(final)


def test_a_namespace_holds_custom_tools_too(client):
    group = {"type": "namespace", "name": "files", "description": "F.", "tools": [LOOK, PATCH]}
    named = {"type": "custom", "name": "patch"}
    asked = {**ASKED, "tools": [group, LOOK], "tool_choice": named}
    (call,) = calls(client.responses.create(**asked))
    assert (call.type, call.name, call.namespace) == ("custom_tool_call", "patch", "files")
    # A tool outside is meant first, and one inside where it is said.
    asked["tool_choice"] = {"type": "function", "name": "look"}
    assert calls(client.responses.create(**asked))[0].namespace is None
    asked["tool_choice"]["namespace"] = "files"
    assert calls(client.responses.create(**asked))[0].namespace == "files"


@pytest.mark.parametrize(
    "text",
    ["", "a", 'say "hi"\n\t\\', "é 😀 \x01", "\\u0041", "tail\\", "\ud83d alone", "\ude00\ud83d"],
)
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_an_input_is_read_while_it_comes(text, ascii_only, size):
    written = json.dumps({"input": text}, ensure_ascii=ascii_only)
    known = text.encode("utf-8", "replace").decode()
    reader = InputReader()
    assert "".join(reader.feed(written[at : at + size]) for at in range(0, 200, size)) == known
    assert read_input(written) == known


LARK = {**PATCH, "format": {"type": "grammar", "syntax": "lark", "definition": "start: /a/"}}
BAD = [
    ({"tools": [{**FILES, "tools": []}]}, "tools[0].tools"),
    ({"tools": [{**FILES, "name": "my files"}]}, "tools[0].name"),
    ({"tools": [{**FILES, "tools": [{"type": "namespace", "name": "x"}]}]},
     "tools[0].tools[0].type"),
    ({"tools": [LOOK, {**FILES, "tools": [{**LOOK, "parameters": {"type": 5}}]}]},
     "tools[1].tools[0].parameters"),
    ({"tools": [LOOK, {**FILES, "tools": [LOOK, LOOK]}]}, "tools[1].tools[1].name"),
    ({"tools": [LOOK, LOOK]}, "tools[1].name"),
    ({"tools": [{**LOOK, "name": ""}]}, "tools[0].name"),
    ({"tools": [{**FILES, "tools": [{**LOOK, "name": ""}]}]}, "tools[0].tools[0].name"),
    ({"tools": [{**FILES, "tools": [{**LOOK, "defer_loading": True}]}]},
     "tools[0].tools[0].defer_loading"),
    ({"tools": [LOOK, LARK]}, "tools[1].format.syntax"),
    ({"tools": [LOOK, {**PATCH, "format": {**PATTERN, "definition": "("}}]},
     "tools[1].format.definition"),
    ({"tools": [{**PATCH, "format": {**PATTERN, "definition": ""}}]}, "tools[0].format.definition"),
    ({"tools": [{"type": 5}]}, "tools[0].type"),
    ({"tools": [{}]}, "tools[0].type"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].name"),
    ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].name"),
    ({"tools": [FILES], "tool_choice": allowed("auto", {"type": "function", "named": {}})},
     "tool_choice.tools[0].name"),
    ({"tools": [FILES, WORDS], "tool_choice": {"type": "function", "name": "look"}}, "tool_choice"),
    ({"tools": [FILES], "tool_choice": {"type": "custom", "name": "look"}}, "tool_choice"),
    ({"tools": [LOOK], "tool_choice": {"type": "function", "function": {"name": "look"}}},
     "tool_choice.name"),
    ({"tools": [LOOK], "tool_choice": {"type": "web_search"}}, "tool_choice.type"),
    ({"tools": [LOOK], "tool_choice": allowed("some", {"type": "function", "name": "look"})},
     "tool_choice.mode"),
    ({"input": [{"type": "message", "message": {"role": "user"}}]}, "input[0].content"),
    ({"tools": [FILES], "tool_choice": allowed("auto", {"type": "namespace", "name": "x"})},
     "tool_choice.tools[0]"),
    ({"tools": [FILES], "tool_choice": allowed("auto", {"type": "web_search"})},
     "tool_choice.tools[0].type"),
    ({"input": [{"type": "custom_tool_call_output", "call_id": "c", "output": "x"}]},
     "input[0].call_id"),
    ({"input": [{"type": "custom_tool_call", "call_id": "c", "name": "", "input": "x"}]},
     "input[0].name"),
    ({"input": [{"type": "function_call", "call_id": "c", "name": "", "namespace": "n",
        "arguments": "{}"}]}, "input[0].name"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "param"), BAD, ids=lambda value: str(value)[:60])
def test_bad_ones_are_named(client, body, param):
    given = {"model": MODEL, "input": "a", "max_output_tokens": 4, **body}
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/responses", body=given, cast_to=object)
    assert caught.value.param == param
    assert param.rpartition(".")[2] in caught.value.message


def test_tokens_of_an_input_are_counted(client):
    asked = {"model": MODEL, "input": "Look.", "instructions": "Be brief.", "tools": [FILES, PATCH]}
    counted = client.responses.input_tokens.count(**asked)
    assert counted.object == "response.input_tokens"
    done = client.responses.create(**asked, max_output_tokens=1)
    assert counted.input_tokens == done.usage.input_tokens
    for body, param in (
        ({"input": "a", "tools": [LOOK, LOOK]}, "tools[1].name"),
        ({"input": [{"type": "function_call_output", "call_id": "x", "output": "a"}]},
         "input[0].call_id"),
        ({"input": "a", "tools": [{"type": "web_search"}]}, "tools[0].type"),
    ):  # fmt: skip
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.input_tokens.count(model=MODEL, **body)
        assert caught.value.param == param
