"""Anthropic's Messages API with the real ``anthropic`` package."""

from __future__ import annotations

import json

import anthropic
import httpx
import pytest

from agentspark.engine.result import Completion, Counts, Delta, Timings
from agentspark.models.tools.answer import AnswerFormat
from agentspark.models.tools.formats import HERMES
from agentspark.models.tools.reasoning import ReasoningFormat
from openai_dspark.server.anthropic.conversation import Conversation
from openai_dspark.server.anthropic.events import EventWriter
from openai_dspark.server.anthropic.reply import MessageHead, blocks_of
from openai_dspark.server.anthropic.translate import Means, translate
from openai_dspark.server.errors import ApiError
from openai_dspark.wire.anthropic_request import AnthropicPrompt

from ..serving import MODEL

CHAT = [{"role": "user", "content": "What does an agent read?"}]
ASKED = {"model": MODEL, "max_tokens": 12}
PLAIN = {"extra_body": {"temperature": 0}}
LOOK = {
    "name": "look",
    "description": "Look into a file.",
    "input_schema": {
        "type": "object",
        "properties": {"file": {"enum": ["a.py", "b.py"]}, "deep": {"type": "boolean"}},
        "required": ["file", "deep"],
    },
}


@pytest.fixture
def claude(served):
    with anthropic.Anthropic(base_url=served.url, api_key="none", max_retries=0) as client:
        yield client


def test_a_message_is_what_the_chat_says(claude, client):
    chat = [{"role": "system", "content": "Be brief."}, *CHAT]
    text = (
        client.chat.completions.create(**ASKED, temperature=0, messages=chat)
        .choices[0]
        .message.content
    )
    cached = {"type": "ephemeral"}
    message = claude.messages.create(
        **ASKED,
        **PLAIN,
        system=[{"type": "text", "text": "Be brief.", "cache_control": cached}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": CHAT[0]["content"]}]},
        ],
    )
    assert message.content[0].text == text
    assert (message.stop_reason, message.stop_sequence) == ("max_tokens", None)
    assert message.usage.output_tokens == 12
    assert message.usage.cache_read_input_tokens > 0
    assert message.metrics["agentspark"]["arm"] == "accelerated"
    counted = claude.messages.count_tokens(model=MODEL, system="Be brief.", messages=CHAT)
    used = message.usage
    assert counted.input_tokens == used.input_tokens + used.cache_read_input_tokens


def test_a_stream_tells_the_same_in_order(claude):
    whole = claude.messages.create(**ASKED, **PLAIN, messages=CHAT)
    events = list(claude.messages.create(**ASKED, **PLAIN, messages=CHAT, stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    started, ended = events[0].message.usage, events[-2].usage
    assert started.cache_read_input_tokens > 0
    assert started.input_tokens == ended.input_tokens
    assert started.cache_read_input_tokens == ended.cache_read_input_tokens
    with claude.messages.stream(**ASKED, **PLAIN, messages=CHAT) as stream:
        assert "".join(stream.text_stream) == whole.content[0].text
        final = stream.get_final_message()
    assert (final.stop_reason, final.usage.output_tokens) == ("max_tokens", 12)


async def test_async_says_the_same(served, claude):
    whole = claude.messages.create(**ASKED, **PLAIN, messages=CHAT)
    async with (
        anthropic.AsyncAnthropic(base_url=served.url, api_key="none") as client,
        client.messages.stream(**ASKED, **PLAIN, messages=CHAT) as stream,
    ):
        final = await stream.get_final_message()
    assert final.content[0].text == whole.content[0].text


def test_a_tool_loop_keeps_its_prefix(claude, trace_file):
    asked = {
        "model": MODEL, "max_tokens": 60, "tools": [LOOK],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "extra_headers": {"x-agentspark-run": "of claude"},
    }  # fmt: skip
    first = claude.messages.create(**asked, **PLAIN, messages=CHAT)
    assert first.stop_reason == "tool_use"
    (call,) = first.content
    assert call.name == "look"
    assert call.input["file"] in ("a.py", "b.py")
    with claude.messages.stream(**asked, **PLAIN, messages=CHAT) as stream:
        (again,) = stream.get_final_message().content
    assert (again.name, again.input) == (call.name, call.input)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "nothing", "is_error": True}
    chat = [
        *CHAT,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result, {"type": "text", "text": "And?"}]},
    ]
    second = claude.messages.create(**asked, **PLAIN, messages=chat)
    before = first.usage.input_tokens + first.usage.cache_read_input_tokens
    assert second.usage.cache_read_input_tokens >= before
    records = [json.loads(line) for line in trace_file.read_text().splitlines()]
    mine = [record for record in records if record["run"] == "of claude"]
    assert [record["cache_break_position"] for record in mine] == [None, None, None]
    named = {"type": "tool", "name": "look"}
    third = claude.messages.create(**{**asked, "tool_choice": named}, messages=CHAT)
    assert third.content[0].name == "look"
    none = {**asked, "tool_choice": {"type": "none"}}
    assert claude.messages.create(**none, messages=CHAT).stop_reason != "tool_use"


def test_an_answer_can_be_held_to_a_schema_and_ended_by_a_text(claude):
    schema = {"type": "object", "properties": {"n": {"type": "boolean"}}, "required": ["n"]}
    form = {"format": {"type": "json_schema", "schema": {**schema, "additionalProperties": False}}}
    said = claude.messages.create(model=MODEL, max_tokens=40, messages=CHAT, output_config=form)
    assert isinstance(json.loads(said.content[0].text)["n"], bool)
    assert said.stop_reason == "end_turn"
    long = claude.messages.create(model=MODEL, max_tokens=24, messages=CHAT, **PLAIN)
    stop = long.content[0].text[8:11]
    cut = claude.messages.create(
        model=MODEL, max_tokens=24, messages=CHAT, stop_sequences=["never", stop], **PLAIN
    )
    assert (cut.stop_reason, cut.stop_sequence) == ("stop_sequence", stop)
    assert cut.content[0].text == long.content[0].text.partition(stop)[0]


CALL = '<tool_call>\n{"name": "look", "arguments": {"file": "a.py"}}\n</tool_call>'


@pytest.mark.parametrize("text", ["<think>so</think>well", f"<think>so</think>well {CALL}", CALL])
def test_a_whole_message_has_the_blocks_of_its_stream(text):
    form = AnswerFormat(HERMES, ReasoningFormat("<think>", "</think>"), "optional")
    reader = form.reader()
    parts = [reader.push(piece, 1, last=False) for piece in (text[:9], text[9:20], text[20:])]
    parts.append(reader.push("", 0, last=True))
    completion = Completion(
        "req-1", "m", None, [1], [2], text, "stop", Counts(1), Timings(0.0), answer=reader.answer
    )

    class Call:
        number = "1"

    writer, events = EventWriter(MessageHead("m"), Call()), []
    for index, part in enumerate(parts):
        last = completion if index == len(parts) - 1 else None
        events += list(writer.events(Delta([], "", None, last, part)))
    blocks = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    partial = [""] * len(blocks)
    for event in events:
        if event["type"] == "content_block_delta":
            (said,) = [v for k, v in event["delta"].items() if k != "type"]
            partial[event["index"]] += said
    whole = [block.to_dict() for block in blocks_of(completion)]
    assert [block["type"] for block in blocks] == [block["type"] for block in whole]
    for block, text_of in zip(whole, partial, strict=True):
        wanted = block.get("text") or block.get("thinking")
        assert wanted == text_of if wanted else block["input"] == json.loads(text_of)


def prompt(*turns, **more):
    return AnthropicPrompt.model_validate({"model": "m", "messages": [*turns], **more})


def test_turns_become_messages():
    use = {"type": "tool_use", "id": "1", "name": "look", "input": {"file": "ä"}}
    thought = {"type": "thinking", "thinking": "hm", "signature": ""}
    result = {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "x"}]}
    texts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    made = Conversation.of(
        prompt(
            {"role": "user", "content": texts},
            {"role": "assistant", "content": [thought, *texts, use]},
            {"role": "user", "content": [result, *texts]},
            system=texts,
        )
    )
    assert [m["role"] for m in made.messages] == ["system", "user", "assistant", "tool", "user"]
    system, user, assistant, tool, last = made.messages
    assert (system["content"], user["content"], last["content"]) == ("a\n\nb", "ab", "ab")
    assert (assistant["content"], assistant["reasoning_content"]) == ("ab", "hm")
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == {"file": "ä"}
    assert (tool["tool_call_id"], tool["content"]) == ("1", "x")


@pytest.mark.parametrize(
    ("thinking", "thinks", "made"),
    [
        (None, "switch", {}),
        ({"type": "adaptive"}, "never", {}),
        ({"type": "adaptive"}, "switch", {"chat_template_kwargs": {"enable_thinking": True}}),
        ({"type": "enabled", "budget_tokens": 1024}, "always", {}),
        ({"type": "enabled", "budget_tokens": 1024}, "never", None),
        ({"type": "disabled"}, "never", {"reasoning_effort": "none"}),
        ({"type": "disabled"}, "switch", {"reasoning_effort": "none"}),
        ({"type": "disabled"}, "always", None),
    ],
)
def test_thinking_is_asked_for_as_the_model_knows_it(thinking, thinks, made):
    body = prompt(*CHAT, thinking=thinking)
    if made is None:
        with pytest.raises(ApiError) as caught:
            translate(body, {}, Means(thinks=thinks))
        assert caught.value.param == "thinking"
        return
    chat = translate(body, {}, Means(thinks=thinks)).chat
    asked = {n: getattr(chat, n) for n in ("chat_template_kwargs", "reasoning_effort")}
    assert {n: value for n, value in asked.items() if value is not None} == made


USE = {"type": "tool_use", "id": "1", "name": "look", "input": {}}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages[0].role"),
        ({"messages": [*CHAT, {"role": "system", "content": [USE]}]},
         "messages[1].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]},
         "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [USE]}]}, "messages[0].content[0].type"),
        ({"messages": [*CHAT, {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "nobody", "content": "a"}]}]},
         "messages[1].content[0].tool_use_id"),
        ({"messages": [*CHAT, {"role": "assistant", "content": [{**USE, "name": ""}]}]},
         "messages[1].content[0].name"),
        ({"messages": [{"role": "user", "content": "word " * 4000}]}, "messages"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
        ({"stop_sequences": [""]}, "stop_sequences[0]"),
        (
            {"messages": [{"role": "assistant", "content": [
                {"type": "thinking", "thinking": "a", "signature": 5}]}]},
            "messages[0].content[0].signature",
        ),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{**LOOK, "input_schema": {"type": 5}}]}, "tools[0].input_schema"),
        ({"tools": [LOOK], "tool_choice": {"type": "tool", "name": "nothing"}},
         "tool_choice"),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "nil"}}}},
         "output_config.format.schema"),
        ({"output_config": {"effort": "max"}}, "output_config.effort"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "thinking"),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}},
         "output_config.effort"),
        ({"container": "c"}, "container"),
        ({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
         "context_management.edits[0].type"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_bad_values_are_named_in_this_apis_words(served, body, param):
    sent = {**ASKED, "messages": CHAT, **body}
    answer = httpx.post(f"{served.url}/v1/messages", json=sent)
    said = answer.json()
    assert answer.status_code == 400, said
    assert said["type"] == "error"
    assert said["error"]["param"] == param
    assert "function.parameters" not in said["error"]["message"]


def test_what_claude_code_sends_is_answered(served):
    sent = {
        **ASKED, "stream": True, "metadata": {"user_id": "user_1"},
        "system": [
            {"type": "text", "text": "You are a coding agent."},
            {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
        ],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "<reminder>x</reminder>"},
                {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}},
            ]},
            {"role": "system", "content": "There are these agents: none."},
        ],
        "output_config": {"effort": "high"},
        "tools": [LOOK], "thinking": {"type": "adaptive"}, "temperature": 1,
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    }  # fmt: skip
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "x", "x-api-key": "none"}
    answer = httpx.post(f"{served.url}/v1/messages?beta=true", json=sent, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.text.startswith("event: message_start\n")
    assert answer.text.rstrip().endswith('data: {"type":"message_stop"}')


def test_errors_are_the_packages_own(claude, served):
    with pytest.raises(anthropic.NotFoundError, match="nothing"):
        claude.messages.create(**{**ASKED, "model": "nothing"}, messages=CHAT)
    late = {"x-agentspark-timeout": "0.3"}
    with pytest.raises(anthropic.APIStatusError, match=r"0\.3 s"):
        for _ in range(50):  # an answer may end by itself in time
            list(
                claude.messages.create(
                    model=MODEL, max_tokens=2000, messages=CHAT, stream=True, extra_headers=late,
                    extra_body={"agentspark": {"verify": 0}},
                )
            )  # fmt: skip
    assert served.settled()
