"""The real model calls tools and keeps to formats, with and without speculation alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentspark.config import EngineConfig
from agentspark.engine.chat_format import ChatFormat
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.sampling.params import SamplingParams

pytestmark = pytest.mark.real

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["city"],
        },
    },
}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
PLAIN = RequestOptions(speculation="off", share_prefix=False)


@pytest.fixture(scope="module")
def engine(smollm2_dir: Path) -> Iterator[Engine]:
    with Engine.load(smollm2_dir, config=EngineConfig(kv_tokens=16384)) as loaded:
        yield loaded


def test_it_calls_the_right_tool_and_reads_the_result(engine: Engine) -> None:
    chat = ChatFormat.of(tools=[WEATHER, ADD], tool_choice="required")
    messages = [{"role": "user", "content": "What is 17 plus 25?"}]
    done = engine.chat(messages, SamplingParams(max_tokens=100), chat=chat)
    assert done.finish_reason == "tool_calls"
    (call,) = done.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("add", {"a": 17, "b": 25})
    function = {"name": call.name, "arguments": call.arguments}
    made = {"id": call.id, "type": "function", "function": function}
    messages += [
        {"role": "assistant", "content": None, "tool_calls": [made]},  # type: ignore[dict-item]
        {"role": "tool", "tool_call_id": call.id, "content": "17 + 25 = 42"},
    ]
    then = ChatFormat.of(tools=[WEATHER, ADD])
    last = engine.chat(messages, SamplingParams(max_tokens=60), chat=then)
    before = len(done.prompt_token_ids) + len(done.token_ids)
    assert last.counts.cached_tokens >= before - 2 * engine.config.block_tokens
    assert "42" in last.content


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [WEATHER, ADD], "tool_choice": "required"},
        {"tools": [WEATHER, ADD]},
        {"response_format": {"type": "json_object"}},
        {"regex": "The answer is [a-z]+( [a-z]+){0,3}\\."},
    ],
    ids=["required", "auto", "json", "regex"],
)
def test_speculation_changes_no_token(engine: Engine, fields: dict[str, object]) -> None:
    chat = ChatFormat.of(**fields)  # type: ignore[arg-type]
    messages = [{"role": "user", "content": "What is the weather like in Paris?"}]
    sampling = SamplingParams(max_tokens=40)
    off = engine.chat(messages, sampling, chat=chat, options=PLAIN)
    on = engine.chat(messages, sampling, chat=chat)
    again = engine.chat(messages, sampling, chat=chat)
    assert on.token_ids == again.token_ids == off.token_ids
