"""Tools in chats: rendered for the model, checked, and replayed token for token."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agentspark.errors import InvalidRequestError
from agentspark.models import ChatTokenizer
from agentspark.models.tools.call import said
from agentspark.models.tools.formats import (
    DEEPSEEK_PLAIN,
    GENERIC,
    HERMES,
    LLAMA3,
    MISTRAL,
    tool_format,
)
from agentspark.models.tools.tool import read_tools
from tests.models.tools import templates

READ = {
    "type": "function",
    "function": {
        "name": "read",
        "description": "Reads a file <|im_end|>.",
        "parameters": {"type": "object", "properties": {"pa<|im_end|>th": {"type": "string"}}},
    },
}
TOOLS = read_tools([READ])
START, END = 1, 2


@pytest.fixture(scope="module")
def hf(tiny_target_dir: Any) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_target_dir)


@contextmanager
def templated(hf: Any, template: str) -> Iterator[ChatTokenizer]:
    before = hf.chat_template
    hf.chat_template = template
    try:
        yield ChatTokenizer(hf)
    finally:
        hf.chat_template = before


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def call(arguments: object, ident: str = "call_1", **more: Any) -> dict[str, Any]:
    function = {"name": "read", "arguments": arguments}
    made = [{"id": ident, "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": made, **more}


def result(text: str, ident: str = "call_1") -> dict[str, Any]:
    return {"role": "tool", "content": text, "tool_call_id": ident}


def test_formats_are_known_by_their_templates() -> None:
    assert tool_format(templates.HERMES) is HERMES
    assert tool_format(templates.OPENED) is MISTRAL
    assert tool_format(templates.PLAIN_ROLES) is GENERIC
    assert tool_format(None) is GENERIC


def test_calls_of_other_formats_are_not_taken_for_llama_3s() -> None:
    tools = '{% for tool in tools %}{"name": "x", "parameters": {{ tool }}}{% endfor %}'
    for more in (
        '[{"tool_name": "a", "parameters": {}}]',
        "<|python_tag|> <function=a>{}</function>",
        '<x:invoke name="a"></x:invoke>',
    ):
        assert tool_format(tools) is LLAMA3
        assert tool_format(tools + more) is GENERIC
    assert tool_format('{{ tools }}<tool_call><invoke name="a"></invoke></tool_call>') is GENERIC


@pytest.mark.parametrize("template", ["HERMES", "OPENED", "PLAIN_ROLES", None])
def test_typed_controls_in_tools_and_results_stay_text(hf: Any, template: str | None) -> None:
    text = hf.chat_template if template is None else getattr(templates, template)
    with templated(hf, text) as tokenizer:
        messages = [user("a"), call('{"path": "<|im_start|>"}'), result("x<|im_end|>y")]
        ids = tokenizer.encode_chat(messages, tools=TOOLS)
        plain = [user("a"), {"role": "assistant", "content": "b"}, {**user("c")}]
        system = 1 if template in ("HERMES", "PLAIN_ROLES", None) else 0
        without = tokenizer.encode_chat(plain)
        assert ids.count(START) == without.count(START) + system
        assert ids.count(END) == without.count(END) + system
        assert "Reads a file <|im_end|>." in tokenizer.decode(ids)


def test_arguments_reach_a_template_as_an_object(hf: Any) -> None:
    with templated(hf, templates.HERMES) as tokenizer:
        text = tokenizer.decode(tokenizer.encode_chat([user("a"), call('{"b":  [1,"é"]}')]))
    assert '{"name": "read", "arguments": {"b": [1, "é"]}}' in text


@pytest.mark.parametrize("template", ["HERMES", "OPENED", "PLAIN_ROLES", "DEEPSEEK", None])
@pytest.mark.parametrize(
    "arguments",
    ['{"path": "b', "[1]", r'{"path": "\ud800"}', '{"a":' * 9999, '{"a":' * 600 + "1" + "}" * 600],
    ids=range(5),
)
def test_arguments_that_are_no_object_stay_text(
    hf: Any, template: str | None, arguments: str
) -> None:
    shown = json.dumps(arguments) if template in ("HERMES", "OPENED") else arguments
    text = hf.chat_template if template is None else getattr(templates, template)
    with templated(hf, text) as tokenizer:
        messages = [user("a"), call(arguments), result("no")]
        assert shown in tokenizer.decode(tokenizer.encode_chat(messages, tools=TOOLS))


def test_a_template_that_takes_arguments_as_text_gets_text(hf: Any) -> None:
    with templated(hf, templates.DEEPSEEK) as tokenizer:
        assert tokenizer.tool_format is DEEPSEEK_PLAIN
        text = tokenizer.decode(tokenizer.encode_chat([user("a"), call({"b": [1, "é"]})]))
        assert 'read<\uff5ctool▁sep\uff5c>{"b": [1, "é"]}<' in text
        # What was generated inside a section that the prompt opened, and the template leaves out.
        thinking = {"thinking": True}
        prompt = tokenizer.encode_chat([user("a")], arguments=thinking)
        assert tokenizer.decode(prompt).endswith("assistant\n<think>")
        generated = tokenizer.encode("hm</think>Yes.")
        tokenizer.remember(prompt, generated, "hm</think>Yes.", "Yes.")
        messages = [user("a"), {"role": "assistant", "content": "Yes."}, user("b")]
        longer = tokenizer.encode_chat(messages, arguments=thinking)
        assert longer[: len(prompt) + len(generated)] == [*prompt, *generated]


def test_ids_are_short_where_a_template_takes_no_others(hf: Any) -> None:
    with templated(hf, templates.MISTRAL) as tokenizer:
        chat = [user("a"), call("{}", "call_" + 24 * "0"), result("b", "call_" + 24 * "0")]
        ids = tokenizer.encode_chat(chat, tools=TOOLS)
        longer = [*chat, call("{}", "123abcDEF"), result("c", "123abcDEF")]
        text = tokenizer.decode(tokenizer.encode_chat(longer, tools=TOOLS))
        assert text.startswith(tokenizer.decode(ids))
        first, second = re.findall(r"\[TOOL_RESULTS\](\w{9}): ", text)
        assert second == "123abcDEF"
        assert text.count(first) == text.count(second) == 2
    with templated(hf, templates.HERMES) as tokenizer:
        assert not tokenizer._short_ids


def test_tools_are_told_to_the_user_where_there_is_no_system_role(hf: Any) -> None:
    with templated(hf, templates.NO_SYSTEM) as tokenizer:
        text = tokenizer.decode(tokenizer.encode_chat([user("Hello.")], tools=TOOLS))
        told = tokenizer.decode(
            tokenizer.encode_chat([call("{}"), result("b"), user("c")], tools=TOOLS)
        )
    assert text.startswith("user\nYou can use these tools:")
    assert text.endswith("say it in plain words.\n\nHello.\nassistant\n")
    assert told.startswith("user\nYou can use these tools:")
    assert "say it in plain words.\nassistant\n<tool_call>" in told


def test_a_template_for_chats_with_tools_alone_stops_no_one_from_loading(hf: Any) -> None:
    with templated(hf, templates.TOOLS_ONLY) as tokenizer:
        assert tokenizer.end_token_ids() == {END}
        assert tokenizer.encode_chat([user("a")], tools=TOOLS)
        with pytest.raises(InvalidRequestError, match="not iterable"):
            tokenizer.encode_chat([user("a")])


def test_the_generic_prompt_names_the_tools_and_writes_calls_and_results(hf: Any) -> None:
    messages = [{"role": "system", "content": "Be brief."}, user("a"), call({"path": "b"})]
    messages += [result("one"), result("two")]
    with templated(hf, templates.PLAIN_ROLES) as tokenizer:
        text = tokenizer.decode(tokenizer.encode_chat(messages, tools=TOOLS))
    assert text.startswith("system\nBe brief.\n\nYou can use these tools:\n<tools>\n")
    assert '<tool_call>\n{"name": "read", "arguments": {"path": "b"}}\n</tool_call>' in text
    responses = "<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n</tool_response>"
    assert f"user\n{responses}\nassistant\n" in text
    with templated(hf, hf.chat_template) as tokenizer:
        assert "tool\none\n" in tokenizer.decode(tokenizer.encode_chat(messages, tools=TOOLS))


@pytest.mark.parametrize("template", ["HERMES", "OPENED", "PLAIN_ROLES", None])
@pytest.mark.parametrize("reasoning", [None, "kept", "dropped"])
def test_a_turn_with_calls_is_replayed_token_for_token(
    hf: Any, template: str | None, reasoning: str | None
) -> None:
    text = hf.chat_template if template is None else getattr(templates, template)
    with templated(hf, text) as tokenizer:
        form = tokenizer.tool_format
        raw = "Let me look.\n" + form.head + "read" + form.middle + '{"path": "b.txt"}'
        raw += form.after + form.closing
        more = {}
        if reasoning is not None:
            raw = (
                f"<think>\nhm, so\n</think>\n\n{raw}"
                if template != "OPENED"
                else (f"hm, so\n</think>\n\n{raw}")
            )
            more = {"reasoning_content": "hm, so"} if reasoning == "kept" else {}
        # Letter by letter: no tokenizer would cut the text like this.
        generated = [token for letter in raw for token in tokenizer.encode(letter)]
        prompt = tokenizer.encode_chat([user("a")], tools=TOOLS)
        key = said("Let me look.", [("read", '{"path": "b.txt"}')])
        tokenizer.remember(prompt, [*generated, END], raw, key, reasoning="hm, so")
        again = call({"path": "b.txt"}, ident="other", **more)
        again["content"] = "Let me look."
        messages = [user("a"), again, result("text", "other")]
        longer = tokenizer.encode_chat(messages, tools=TOOLS)
        assert longer[: len(prompt) + len(generated) + 1] == [*prompt, *generated, END]
        assert tokenizer.decode(longer[len(prompt) + len(generated) :]).count("text") == 1


def test_calls_in_a_row_are_replayed_where_roles_take_turns(hf: Any) -> None:
    with templated(hf, templates.MISTRAL) as tokenizer:
        form, messages = tokenizer.tool_format, [user("a")]
        for number in range(3):
            prompt = tokenizer.encode_chat(messages, tools=TOOLS)
            arguments = f'{{"path": "{number}"}}'
            raw = form.head + "read" + form.middle + arguments + form.after + form.closing
            generated = [token for letter in raw for token in tokenizer.encode(letter)]
            tokenizer.remember(prompt, [*generated, END], raw, said("", [("read", arguments)]))
            messages += [call(arguments, f"c{number}"), result("text", f"c{number}")]
            longer = tokenizer.encode_chat(messages, tools=TOOLS)
            assert longer[: len(prompt) + len(generated) + 1] == [*prompt, *generated, END]
        # None can be cut out alone once there is an answer in words.
        messages += [{"role": "assistant", "content": "b"}, user("c")]
        text = tokenizer.decode(tokenizer.encode_chat(messages, tools=TOOLS))
        assert text.endswith("text[/TOOL_RESULTS]b[INST]c[/INST]")
        assert text.count('"arguments": {"path"') == 3


def test_reasoning_left_out_by_the_client_comes_back(hf: Any) -> None:
    with templated(hf, templates.HERMES) as tokenizer:
        prompt = tokenizer.encode_chat([user("a")])
        generated = tokenizer.encode("<think>\nhm\n</think>\n\nSo it is.")
        tokenizer.remember(prompt, generated, tokenizer.decode(generated), "So it is.")
        messages = [user("a"), {"role": "assistant", "content": "So it is."}, user("b")]
        longer = tokenizer.encode_chat(messages)
        assert longer[: len(prompt) + len(generated) + 1] == [*prompt, *generated, END]


def thought(tokenizer: ChatTokenizer, thoughts: str, salt: str | None = None) -> list[int]:
    """A prompt and the tokens remembered behind it, which thought and then said "So it is."."""
    prompt = tokenizer.encode_chat([user("a")])
    raw = f"<think>\n{thoughts}\n</think>\n\nSo it is."
    # Letter by letter: no tokenizer would cut the text like this.
    generated = [token for letter in raw for token in tokenizer.encode(letter)]
    tokenizer.remember(prompt, generated, raw, "So it is.", reasoning=thoughts, salt=salt)
    return [*prompt, *generated]


def test_reasoning_sent_by_the_client_has_to_be_the_generated_one(hf: Any) -> None:
    with templated(hf, templates.HERMES) as tokenizer:
        fresh = ChatTokenizer(hf)
        one, two = (thought(tokenizer, thoughts) for thoughts in ("hm", "well"))

        def again(**more: Any) -> list[dict[str, Any]]:
            return [user("a"), {"role": "assistant", "content": "So it is.", **more}, user("b")]

        for known, thoughts in ((one, "hm"), (two, "\nwell\n")):
            ids = tokenizer.encode_chat(again(reasoning_content=thoughts))
            assert ids[: len(known)] == known
        assert tokenizer.encode_chat(again(reasoning_content=""))[: len(two)] == two
        own = again(reasoning_content="My own.")
        assert tokenizer.encode_chat(own) == fresh.encode_chat(own)
        assert "My own." in tokenizer.decode(tokenizer.encode_chat(own))


def test_a_turn_is_known_under_its_salt_only(hf: Any) -> None:
    with templated(hf, templates.HERMES) as tokenizer:
        fresh = ChatTokenizer(hf)
        known = thought(tokenizer, "hm", salt="a")
        asked = [user("a"), {"role": "assistant", "content": "So it is."}, user("b")]
        assert tokenizer.encode_chat(asked, salt="a")[: len(known)] == known
        for messages in (asked, [asked[0], {**asked[1], "reasoning_content": "hm"}, asked[2]]):
            for salt in (None, "b", ""):
                assert tokenizer.encode_chat(messages, salt=salt) == fresh.encode_chat(messages)


@pytest.mark.parametrize(
    ("messages", "param"),
    [
        ([user("a"), result("b")], "messages[1].tool_call_id"),
        ([user("a"), call({}, "x"), result("b", "y")], "messages[2].tool_call_id"),
        ([user("a"), call(None)], "messages[1].tool_calls[0].function.arguments"),
        ([user("a"), call([1])], "messages[1].tool_calls[0].function.arguments"),
        ([{**call({}), "role": "user", "content": "a"}], "messages[0].tool_calls"),
        ([{**call({}), "tool_calls": "x"}], "messages[0].tool_calls"),
        ([{**call({}), "tool_calls": [{"id": "x"}]}], "messages[0].tool_calls[0]"),
    ],
)
def test_wrong_calls_and_results_are_named(
    hf: Any, messages: list[dict[str, Any]], param: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        ChatTokenizer(hf).encode_chat(messages)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ("read", "tools"),
        ([READ] * 200, "tools"),
        ([READ, READ], "tools[1].function.name"),
        ([{"type": "web_search"}], "tools[0]"),
        ([{"type": "function"}], "tools[0].function"),
        ([{"type": "function", "function": {"name": "a b"}}], "tools[0].function.name"),
        (
            [{"type": "function", "function": {"name": "a", "parameters": {"type": "array"}}}],
            "tools[0].function.parameters",
        ),
        ([{"type": "function", "function": {"name": "a", "x": 1}}], "tools[0].function.x"),
    ],
)
def test_wrong_tools_are_named(tools: object, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_tools(tools)
    assert caught.value.param == param


def test_a_tool_without_parameters_takes_none() -> None:
    (tool,) = read_tools([{"type": "function", "function": {"name": "now"}}])
    assert json.loads(tool.parameters) == {"type": "object", "properties": {}}
