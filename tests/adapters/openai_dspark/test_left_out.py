"""Tools that only other servers run: refused with what to do, or left out where that is wanted."""

from __future__ import annotations

import json
import logging
import queue

import pytest

from openai_dspark.server.facts import LEFT_OUT_HEADER

from ..serving import MODEL, serving

SEARCH = {"type": "web_search", "external_web_access": False}
SHELL = {"type": "local_shell"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
LOOK = {"type": "function", "name": "look", "parameters": SCHEMA}
CHAT_LOOK = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}
THEIR_LOOK = {"name": "look", "input_schema": SCHEMA}
THEIR_SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
BAD_LOOK = {"type": 5}
LARK = {"type": "grammar", "syntax": "lark", "definition": "start: /a/"}

RESPONSES = ("/v1/responses", {"input": "a", "max_output_tokens": 60})
CHATS = ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 60})
MESSAGES = ("/v1/messages", CHATS[1])
COUNTED = ("/v1/messages/count_tokens", {"messages": CHATS[1]["messages"]})

# Requests with such tools, the parameters that name the first of them, and all that is left out.
ASKED = [
    (RESPONSES, {"tools": [LOOK, SEARCH, SHELL, SEARCH]}, "tools[1].type",
     "web_search, local_shell"),
    (RESPONSES, {"tools": [{"type": "namespace", "name": "n", "tools": [SEARCH, LOOK]}]},
     "tools[0].tools[0].type", "web_search"),
    (RESPONSES, {"tools": [{"type": "custom", "name": "patch", "format": LARK}]},
     "tools[0].format.syntax", "custom"),
    (CHATS, {"tools": [SEARCH, CHAT_LOOK]}, "tools[0].type", "web_search"),
    (CHATS, {"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools[0].type", "custom"),
    (CHATS, {"web_search_options": {}}, "web_search_options", "web_search_options"),
    (MESSAGES, {"tools": [THEIR_LOOK, THEIR_SEARCH]}, "tools[1].type", "web_search_20250305"),
    (MESSAGES, {"mcp_servers": [{"type": "url", "url": "http://a", "name": "a"}]},
     "mcp_servers", "mcp_servers"),
    (COUNTED, {"tools": [THEIR_LOOK, THEIR_SEARCH]}, "tools[1].type", "web_search_20250305"),
]  # fmt: skip


@pytest.fixture(scope="module")
def lenient(make_engine):
    with serving(make_engine(), leave_out_tools=True) as running:
        yield running


def ask(server, where, more):
    path, body = where
    return server.post(path, json={"model": MODEL, **body, **more})


@pytest.mark.parametrize(("where", "more", "param", "left"), ASKED, ids=lambda v: str(v)[:40])
def test_they_are_refused_with_what_to_do_or_left_out(served, lenient, where, more, param, left):
    refused = ask(served, where, more)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["param"] == param
    assert "--leave-out-tools" in error["message"]
    assert LEFT_OUT_HEADER not in refused.headers
    taken = ask(lenient, where, more)
    assert taken.status_code == 200, taken.text
    assert taken.headers[LEFT_OUT_HEADER] == left


def test_a_model_is_not_told_of_them(lenient):
    for where, tools, more in (
        (RESPONSES, [LOOK], SEARCH),
        (CHATS, [CHAT_LOOK], SEARCH),
        (MESSAGES, [THEIR_LOOK], THEIR_SEARCH),
    ):
        plain, added = (
            ask(lenient, where, {"tools": given}) for given in (tools, [more, *tools, more])
        )
        assert LEFT_OUT_HEADER not in plain.headers
        counts = [answer.json()["usage"] for answer in (plain, added)]
        name = "prompt_tokens" if where is CHATS else "input_tokens"
        cached = "cache_read_input_tokens"
        told = [count[name] + count.get(cached, 0) for count in counts]
        assert told[0] == told[1]
        if where is RESPONSES:
            assert [tool["type"] for tool in added.json()["tools"]] == ["function"]


class Lines(logging.Handler):
    """Hands on what is logged: a request's line comes after its answer."""

    def __init__(self):
        super().__init__()
        self.lines = queue.Queue()

    def emit(self, record):
        self.lines.put(record.fields)


def test_streams_and_the_log_say_it_too(lenient):
    logger, seen = logging.getLogger("openai_dspark.access"), Lines()
    level = logger.level
    logger.addHandler(seen)
    logger.setLevel(logging.INFO)
    try:
        answer = ask(lenient, RESPONSES, {"tools": [SEARCH, LOOK], "stream": True})
        # Those of earlier requests may come first.
        while (line := seen.lines.get(timeout=30))["request_id"] != answer.headers["x-request-id"]:
            pass
    finally:
        logger.removeHandler(seen)
        logger.setLevel(level)
    assert line["left_out_tools"] == ["web_search"]
    assert answer.headers[LEFT_OUT_HEADER] == "web_search"
    events = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    first = json.loads(events[0].removeprefix("data: "))
    assert [tool["type"] for tool in first["response"]["tools"]] == ["function"]


@pytest.mark.parametrize(
    ("where", "more", "param"),
    [
        (RESPONSES, {"tools": [SEARCH, {**LOOK, "parameters": BAD_LOOK}]}, "tools[1].parameters"),
        (CHATS, {"tools": [SEARCH, {"type": "function", "function": {
            "name": "look", "parameters": BAD_LOOK}}]}, "tools[1].function.parameters"),
        (CHATS, {"tools": [SEARCH, CHAT_LOOK, CHAT_LOOK]}, "tools[2].function.name"),
        (MESSAGES, {"tools": [THEIR_SEARCH, {"name": "look", "input_schema": BAD_LOOK}]},
         "tools[1].input_schema"),
        # What asks for a tool that is left out cannot be done.
        (RESPONSES, {"tools": [SEARCH], "tool_choice": "required"}, "tool_choice"),
        (CHATS, {"tools": [SEARCH], "tool_choice": "required"}, "tool_choice"),
        (RESPONSES, {"tools": [SEARCH, LOOK], "tool_choice": {
            "type": "allowed_tools", "mode": "auto", "tools": [SEARCH]}}, "tool_choice.tools"),
        (MESSAGES, {"tools": [THEIR_SEARCH], "tool_choice": {"type": "any"}}, "tool_choice"),
        (MESSAGES, {"tools": [THEIR_SEARCH, THEIR_LOOK], "tool_choice": {
            "type": "tool", "name": "web_search"}}, "tool_choice"),
        # A type becomes a header.
        (RESPONSES, {"tools": [{"type": "a\r\nb"}]}, "tools[0].type"),
        (CHATS, {"tools": [{"type": "é"}]}, "tools[0].type"),
        (CHATS, {"tools": [{"type": ""}]}, "tools[0].type"),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_what_is_wrong_with_the_others_is_named_where_it_stands(lenient, where, more, param):
    answer = ask(lenient, where, more)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert param in answer.json()["error"]["message"]


def test_a_choice_among_tools_goes_on_without_them(lenient):
    named = {"type": "function", "name": "look"}
    choice = {"type": "allowed_tools", "mode": "required", "tools": [SEARCH, named]}
    answer = ask(lenient, RESPONSES, {"tools": [SEARCH, LOOK], "tool_choice": choice})
    assert answer.status_code == 200
    assert {item["name"] for item in answer.json()["output"]} == {"look"}
