"""Chats with tools, formats and reasoning through a tiny engine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agentspark.config import EngineConfig
from agentspark.engine.chat_format import ChatFormat
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.engine.result import Completion, Delta
from agentspark.errors import InvalidRequestError
from agentspark.models import ChatTokenizer
from agentspark.sampling.params import SamplingParams
from tests.models.tools.templates import HERMES, OPENED

PARAMETERS = {
    "type": "object",
    "properties": {
        "path": {"type": "string", "maxLength": 6},
        "lines": {"type": "array", "items": {"type": "integer", "maximum": 99}, "maxItems": 2},
    },
    "required": ["path"],
}
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": PARAMETERS}}
    for name in ("read_file", "read_page", "write")
]
ASK = [{"role": "user", "content": "Read the file, then add the numbers."}]
HOT = SamplingParams(max_tokens=110, temperature=1.0)
NAMES = {"read_file", "read_page", "write"}
NAMED = {"type": "function", "function": {"name": "write"}}


@pytest.fixture(scope="module", params=[None, HERMES, OPENED], ids=["generic", "hermes", "mistral"])
def engine(
    request: pytest.FixtureRequest,
    tiny_target_dir: Path,
    tiny_drafter_dir: Path,
    cost_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Engine]:
    folder = tmp_path_factory.mktemp("templated") / "model"
    shutil.copytree(tiny_target_dir, folder)
    if request.param is not None:
        (folder / "chat_template.jinja").write_text(request.param, encoding="utf-8")
    config = EngineConfig(kv_tokens=8192, cache_dir=cost_cache)
    with Engine.load(folder, drafter=tiny_drafter_dir, config=config) as loaded:
        yield loaded


def ask(engine: Engine, sampling: SamplingParams = HOT, **fields: Any) -> Completion:
    return engine.chat(ASK, sampling, chat=ChatFormat.of(**fields))


def check(done: Completion, names: set[str], most: int) -> None:
    assert 1 <= len(done.tool_calls) <= most
    for call in done.tool_calls:
        assert call.name in names
        jsonschema.validate(json.loads(call.arguments), PARAMETERS)
        assert call.id.startswith("call_")
    assert done.content == ""
    assert done.finish_reason in ("tool_calls", "length")


def test_required_and_named_always_call(engine: Engine) -> None:
    for _ in range(2):
        done = ask(engine, tools=TOOLS, tool_choice="required", parallel_tool_calls=False)
        check(done, NAMES, 1)
        check(ask(engine, tools=TOOLS, tool_choice=NAMED, parallel_tool_calls=True), {"write"}, 16)
        check(
            ask(engine, tools=TOOLS, tool_choice="required"),
            NAMES,
            16,
        )


def test_only_allowed_tools_are_called(engine: Engine) -> None:
    """By grammar: the prompt is that of all tools, so that a step's prefix stays what it was."""
    named = [{"type": "function", "function": {"name": "write"}}]

    def allowed(mode: str) -> dict[str, Any]:
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": named}}

    every = ask(engine, tools=TOOLS, tool_choice="required")
    some = ask(engine, tools=TOOLS, tool_choice=allowed("required"))
    check(some, {"write"}, 16)
    assert some.counts.prompt_tokens == every.counts.prompt_tokens
    called = {
        call.name for call in ask(engine, tools=TOOLS, tool_choice=allowed("auto")).tool_calls
    }
    assert called <= {"write"}


def test_none_never_calls_and_auto_may(engine: Engine) -> None:
    sampling = SamplingParams(max_tokens=40, temperature=1.0)
    done = ask(engine, sampling, tools=TOOLS, tool_choice="none")
    assert not done.tool_calls and "<tool_call>" not in done.text
    told = ask(engine, sampling, tools=TOOLS)
    assert told.finish_reason in ("stop", "length", "tool_calls")


def test_a_format_holds_where_no_tool_is_called(engine: Engine) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": PARAMETERS}}
    done = ask(engine, response_format=wanted)
    jsonschema.validate(json.loads(done.content), PARAMETERS)
    both = ask(engine, tools=TOOLS, response_format=wanted, parallel_tool_calls=False)
    if both.tool_calls:
        check(both, NAMES, 1)
    else:
        jsonschema.validate(json.loads(both.content), PARAMETERS)
    assert ask(engine, choice=["yes", "no"]).content in ("yes", "no")


def test_deltas_add_up_to_the_completion(engine: Engine) -> None:
    chat = ChatFormat.of(tools=TOOLS, tool_choice="required", parallel_tool_calls=True)
    deltas: list[Delta] = list(engine.chat_stream(ASK, HOT, chat=chat))
    done = deltas[-1].completion
    assert done is not None and done.tool_calls
    assert "".join(delta.text for delta in deltas) == done.text
    assert "".join(delta.reasoning for delta in deltas) == (done.reasoning or "")
    calls: list[list[str]] = []
    for piece in (piece for delta in deltas for piece in delta.tool_calls):
        if piece.id is not None and piece.name is not None:
            assert piece.index == len(calls)
            calls.append([piece.id, piece.name, ""])
        calls[piece.index][2] += piece.arguments
    complete = [[call.id, call.name, call.arguments] for call in done.tool_calls]
    assert calls[: len(complete)] == complete


def test_speculation_changes_no_call(engine: Engine) -> None:
    for choice in ("required", "auto"):
        chat = ChatFormat.of(tools=TOOLS, tool_choice=choice)
        sampling = SamplingParams(max_tokens=90)
        plain = RequestOptions(speculation="off", share_prefix=False)
        off = engine.chat(ASK, sampling, chat=chat, options=plain)
        on = engine.chat(ASK, sampling, chat=chat, options=RequestOptions(verify="full"))
        assert on.token_ids == off.token_ids
        assert on.finish_reason == off.finish_reason


def test_the_next_step_extends_this_one(engine: Engine) -> None:
    done = ask(engine, tools=TOOLS, tool_choice="required", parallel_tool_calls=False)
    call = done.tool_calls[0]
    arguments = json.dumps(json.loads(call.arguments), indent=1)
    made = {"id": call.id, "type": "function"}
    made["function"] = {"name": call.name, "arguments": arguments}  # type: ignore[assignment]
    messages = [
        *ASK,
        {"role": "assistant", "content": None, "tool_calls": [made]},
        {"role": "tool", "tool_call_id": call.id, "content": "42"},
    ]
    request = engine.chat_request(messages, HOT, chat=ChatFormat.of(tools=TOOLS))
    before = [*done.prompt_token_ids, *done.token_ids]
    assert list(request.prompt_token_ids)[: len(before)] == before


def test_a_generated_turn_is_known_to_its_salt_only_and_in_both_arms(engine: Engine) -> None:
    salted = RequestOptions(cache_salt="a")
    plain = RequestOptions(speculation="off", share_prefix=False, cache_salt="a")
    # Nobody else asks this: an answer to it is known by its text, which may be empty.
    asked = [{"role": "user", "content": "What does a salt keep?"}]
    done = engine.chat(
        asked, SamplingParams(max_tokens=24, temperature=1.0, seed=3), options=salted
    )
    messages = [*asked, {"role": "assistant", "content": done.content}, *ASK]
    before = [*done.prompt_token_ids, *done.token_ids]
    for options in (salted, plain):
        prompt = list(engine.chat_request(messages, HOT, options=options).prompt_token_ids)
        assert prompt[: len(before)] == before
    fresh = ChatTokenizer(engine.target.tokenizer.hf).encode_chat(messages)
    assert fresh[: len(before)] != before
    for other in (None, RequestOptions(cache_salt="b")):
        assert engine.chat_request(messages, HOT, options=other).prompt_token_ids == fresh


async def test_async_forms_are_the_same(engine: Engine) -> None:
    chat = ChatFormat.of(tools=TOOLS, tool_choice=NAMED)
    sampling = SamplingParams(max_tokens=80)
    done = engine.chat(ASK, sampling, chat=chat)
    again = await engine.achat(ASK, sampling, chat=chat)
    last = [delta async for delta in engine.achat_stream(ASK, sampling, chat=chat)][-1]
    assert last.completion is not None
    assert done.token_ids == again.token_ids == last.completion.token_ids


def test_reasoning_comes_before_everything_and_is_told_apart(engine: Engine) -> None:
    reasoning = engine.target.tokenizer.reasoning_format
    chat = ChatFormat.of(response_format={"type": "json_object"})
    request = engine.chat_request(ASK, HOT, chat=chat)
    assert request.constraint is not None
    if reasoning is None:
        assert request.answer is None and not request.constraint.preamble
        return
    # The tiny model would think for ever: what it has to say is given to its reader.
    assert request.answer is not None and request.constraint.preamble
    state = engine._intake._grammars.state(request.constraint, 1000)
    opened = request.answer.beginning == "inside"
    text = ("" if opened else "<think>") + '\nmaybe {"a": 1}\n</think>\n\n'
    ids = engine.target.tokenizer.encode(text)
    assert state.allows(ids) == len(ids)
    state.advance(ids[:-6])
    assert not state.accepting
    state.advance(ids[-6:])
    assert not state.complete
    answer = engine.target.tokenizer.encode('{"b": [2]}')
    assert state.advance(answer) == answer and state.complete
    off = ChatFormat.of(
        response_format={"type": "json_object"}, template_args={"enable_thinking": False}
    )
    if not opened:
        assert not engine.chat_request(ASK, HOT, chat=off).constraint.preamble  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": "any"}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        *(
            (
                {
                    "tools": TOOLS,
                    "tool_choice": {"type": "allowed_tools", "allowed_tools": allowed},
                },
                "tool_choice",
            )
            for allowed in (
                {"mode": "none", "tools": [NAMED]},
                {"mode": "auto", "tools": []},
                {"mode": "auto", "tools": "write"},
                {"mode": "auto", "tools": ["write"]},
                {"mode": "auto", "tools": [{"type": "function", "function": {"name": "x"}}]},
            )
        ),
        (
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}},
            "tool_choice",
        ),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": 3}}},
            "response_format.json_schema.schema",
        ),
        ({"regex": ""}, "regex"),
        ({"choice": []}, "choice"),
        ({"regex": "a", "choice": ["b"]}, "choice"),
        ({"parallel_tool_calls": "yes"}, "parallel_tool_calls"),
        ({"template_args": {"messages": []}}, "template_args.messages"),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        ChatFormat.of(**fields)
    assert caught.value.param == param


def test_arguments_that_the_template_does_not_read_are_named(engine: Engine) -> None:
    for name in ("foo", "content", "padding"):  # "content" is a key of its messages only
        chat = ChatFormat.of(template_args={name: 1})
        with pytest.raises(InvalidRequestError, match="leave it out") as caught:
            engine.chat_request(ASK, HOT, chat=chat)
        assert caught.value.param == f"template_args.{name}"


def test_a_tool_that_cannot_be_enforced_is_named(engine: Engine) -> None:
    odd = {"type": "object", "properties": {"x": {"type": "array", "uniqueItems": True}}}
    tools = [*TOOLS, {"type": "function", "function": {"name": "odd", "parameters": odd}}]
    with pytest.raises(InvalidRequestError, match="uniqueItems") as caught:
        ask(engine, tools=tools, tool_choice="required")
    assert caught.value.param == "tools[3].function.parameters"
    tools[3]["function"]["strict"] = False  # type: ignore[index]
    assert ask(engine, tools=tools, tool_choice="required").tool_calls
