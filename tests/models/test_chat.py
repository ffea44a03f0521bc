"""Chats to tokens: as transformers does, but safe against typed control tokens, and stable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentspark.errors import InvalidRequestError
from agentspark.models import ChatTokenizer
from agentspark.models.tools.tool import read_tools

CONTROLS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
START, END = 1, 2

plain_text = st.text(max_size=30) | st.sampled_from(["", " ", "\n", "a \n", "the next file", "é🙂"])
typed_text = st.lists(plain_text | st.sampled_from(CONTROLS), max_size=5).map("".join)
roles = st.sampled_from(["system", "user", "assistant", "tool"])


def chats(texts: st.SearchStrategy[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    message = st.fixed_dictionaries({"role": roles, "content": texts})
    return st.lists(message, min_size=1, max_size=5)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


@given(messages=chats(plain_text), prompt=st.booleans())
def test_plain_chats_are_tokenised_as_transformers_does(
    byte_level: Any, messages: list[dict[str, Any]], prompt: bool
) -> None:
    expected = byte_level.apply_chat_template(
        messages, add_generation_prompt=prompt, return_dict=False
    )
    got = ChatTokenizer(byte_level).encode_chat(messages, add_generation_prompt=prompt)
    assert got == expected


def test_plain_chats_of_a_sentencepiece_model_too(sentencepiece: Any) -> None:
    messages = [user("the end"), assistant("in a"), user("é then")]
    expected = sentencepiece.apply_chat_template(messages, return_dict=False)
    assert ChatTokenizer(sentencepiece).encode_chat(messages) == expected


@given(messages=chats(typed_text))
def test_typed_control_tokens_stay_text(byte_level: Any, messages: list[dict[str, Any]]) -> None:
    tokenizer = ChatTokenizer(byte_level)
    ids = tokenizer.encode_chat(messages)
    assert ids.count(START) == len(messages) + 1
    assert ids.count(END) == len(messages)
    assert 0 not in ids
    markup = "".join(f"{m['role']}\n{m['content']}\n" for m in messages) + "assistant\n"
    assert tokenizer.decode(ids) == markup


def test_no_space_is_added_around_a_typed_control_token(sentencepiece: Any) -> None:
    tokenizer = ChatTokenizer(sentencepiece)
    ids = tokenizer.encode_chat([user("in</s>the")])
    assert sentencepiece.eos_token_id not in ids
    assert tokenizer.decode(ids) == "[INST] in</s>the [/INST]"


def test_typed_control_tokens_stay_text_in_other_fields(byte_level: Any) -> None:
    hf = ChatTokenizer(byte_level).hf
    template = hf.chat_template
    try:
        hf.chat_template = (
            "{% for m in messages %}{{ m.name }}:{{ m.content }}<|im_end|>{% endfor %}"
        )
        ids = ChatTokenizer(hf).encode_chat([{**user("a"), "name": "x<|im_end|>"}])
    finally:
        hf.chat_template = template
    assert ids.count(END) == 1 and ids[-1] == END


def test_typed_marks_of_a_template_stay_text_but_the_assistants(tiny_target_dir: Path) -> None:
    from tokenizers import AddedToken
    from transformers import AutoTokenizer

    hf: Any = AutoTokenizer.from_pretrained(tiny_target_dir)
    hf.add_tokens([AddedToken("</result>", special=False, normalized=False)])
    hf.chat_template = (
        "{% for m in messages %}{{ m.content }}{% if m.role == 'tool' %}</result>{% endif %}"
        "<|im_end|>{% endfor %}"
    )
    mark = hf.convert_tokens_to_ids("</result>")
    tokenizer = ChatTokenizer(hf)
    for role, count in (("user", 0), ("system", 0), ("tool", 1), ("assistant", 1)):
        ids = tokenizer.encode_chat([{"role": role, "content": "x</result>y"}])
        assert ids.count(mark) == count, role
        assert tokenizer.decode(ids).startswith("x</result>y")


def test_the_generic_prompt_shows_calls_in_the_tokens_they_are_written_in(
    tiny_target_dir: Path,
) -> None:
    from tokenizers import AddedToken
    from transformers import AutoTokenizer

    hf: Any = AutoTokenizer.from_pretrained(tiny_target_dir)
    hf.add_tokens([AddedToken("<tool_call>", special=False, normalized=False)])
    hf.chat_template = hf.chat_template.replace("{% for", "{# tools: <tool_call><arg_key> #}{% for")
    tokenizer = ChatTokenizer(hf)
    assert not tokenizer.tool_format.native
    tools = read_tools([{"type": "function", "function": {"name": "read"}}])
    ids = tokenizer.encode_chat([user("a")], tools=tools)
    assert ids.count(hf.convert_tokens_to_ids("<tool_call>")) == 1


def test_private_use_characters_survive(byte_level: Any) -> None:
    tokenizer = ChatTokenizer(byte_level)
    text = "\U000f00000\U000f0000 \U000f0001<|im_end|>"
    assert text in tokenizer.decode(tokenizer.encode_chat([user(text)]))


@pytest.mark.parametrize("text", ["a<|im_end|>b", "<|im_start|>system\n"])
def test_control_tokens_in_a_prompt_stay_text_unless_asked_for(byte_level: Any, text: str) -> None:
    tokenizer = ChatTokenizer(byte_level)
    assert not {START, END} & set(tokenizer.encode(text))
    assert {START, END} & set(tokenizer.encode(text, markup=True))
    assert tokenizer.decode(tokenizer.encode(text)) == text


tokens = st.lists(st.integers(3, 511), min_size=1, max_size=20)


@given(
    steps=st.lists(st.tuples(tokens, st.booleans(), plain_text), min_size=1, max_size=4),
    first=typed_text,
)
def test_each_step_extends_the_one_before_token_for_token(
    byte_level: Any, steps: list[tuple[list[int], bool, str]], first: str
) -> None:
    """Random tokens: re-tokenising their text gives others most of the time."""
    tokenizer = ChatTokenizer(byte_level)
    messages = [user(first)]
    for generated, ended, reply in steps:
        prompt = tokenizer.encode_chat(messages)
        whole = [*generated, END] if ended else generated
        text = tokenizer.decode(whole)
        tokenizer.remember(prompt, whole, text)
        messages += [assistant(text), {"role": "tool", "content": reply}]
        longer = tokenizer.encode_chat(messages)
        assert longer[: len(prompt) + len(whole)] == prompt + whole
        assert longer[len(prompt) + len(generated)] == END
        assert tokenizer.decode(longer).startswith(tokenizer.decode(prompt) + text)


def test_remembered_tokens_differ_from_the_texts_own(byte_level: Any) -> None:
    tokenizer = ChatTokenizer(byte_level)
    letters = [token for letter in "the next" for token in tokenizer.encode(letter)]
    assert tokenizer.encode("the next") != letters
    prompt = tokenizer.encode_chat([user("a")])
    plain = tokenizer.encode_chat([user("a"), assistant("the next")])
    tokenizer.remember(prompt, letters, "the next")
    assert tokenizer.encode_chat([user("a"), assistant("the next")])[: len(prompt) + 8] == (
        prompt + letters
    )
    # Another prompt before the same text, and another text after the same prompt: as ever.
    other = ChatTokenizer(byte_level)
    for messages in ([user("b"), assistant("the next")], [user("a"), assistant("the nex")]):
        assert tokenizer.encode_chat(messages) == other.encode_chat(messages)
    assert other.encode_chat([user("a"), assistant("the next")]) == plain


def test_a_text_cut_by_a_stop_string_keeps_the_tokens_before_the_cut(byte_level: Any) -> None:
    tokenizer = ChatTokenizer(byte_level)
    letters = [token for letter in "read the file" for token in tokenizer.encode(letter)]
    prompt = tokenizer.encode_chat([user("a")])
    tokenizer.remember(prompt, letters, "read the")
    longer = tokenizer.encode_chat([user("a"), assistant("read the"), user("b")])
    assert longer[: len(prompt) + 9] == [*prompt, *letters[:8], END]


def test_what_was_generated_behind_an_ignored_end_is_text(byte_level: Any) -> None:
    tokenizer = ChatTokenizer(byte_level)
    a, b = tokenizer.encode("a"), tokenizer.encode("b")
    prompt = tokenizer.encode_chat([user("x")])
    tokenizer.remember(prompt, [*a, END, START, *b], "ab")
    longer = tokenizer.encode_chat([user("x"), assistant("ab")], add_generation_prompt=False)
    assert longer == [*prompt, *a, *b, END, *tokenizer.encode("\n")]


# Of reasoning the template leaves out more than it trims: see the test below.
@given(text=typed_text.filter(lambda text: text.strip() and "</think>" not in text))
def test_a_template_that_trims_keeps_the_generated_tokens(trimming: Any, text: str) -> None:
    tokenizer = ChatTokenizer(trimming)
    prompt = tokenizer.encode_chat([user("a")])
    generated = tokenizer.encode(f" {text}\n")
    tokenizer.remember(prompt, generated, f" {text}\n")
    longer = tokenizer.encode_chat([user("a"), assistant(f" {text}\n"), user("b")])
    assert longer[: len(prompt) + len(generated) + 1] == [*prompt, *generated, END]


def test_a_template_that_drops_reasoning_is_followed(trimming: Any) -> None:
    tokenizer, fresh = ChatTokenizer(trimming), ChatTokenizer(trimming)
    prompt = tokenizer.encode_chat([user("a")])
    text = "hm</think>so"
    tokenizer.remember(prompt, tokenizer.encode(text), text)
    messages = [user("a"), assistant(text), user("b")]
    assert tokenizer.encode_chat(messages) == fresh.encode_chat(messages)
    assert "hm" not in tokenizer.decode(tokenizer.encode_chat(messages))


@pytest.mark.parametrize("ended", [True, False])
def test_stable_in_a_template_with_spaces_around_answers(sentencepiece: Any, ended: bool) -> None:
    tokenizer = ChatTokenizer(sentencepiece)
    vocab = tokenizer.hf.get_vocab()
    generated = [vocab[name] for name in ("▁", "t", "h", "e")]
    whole = [*generated, vocab["</s>"]] if ended else generated
    text = tokenizer.decode(whole)
    prompt = tokenizer.encode_chat([user("in")])
    tokenizer.remember(prompt, whole, text)
    longer = tokenizer.encode_chat([user("in"), assistant(text), user("a")])
    assert text == "the"
    assert longer[: len(prompt) + len(whole)] == prompt + whole
    # What follows is no start of a text: no space is put before it.
    space = "" if ended else " "
    assert tokenizer.decode(longer) == f"[INST] in [/INST] the{space}[INST] a [/INST]"


def test_the_texts_of_single_tokens_add_up(sentencepiece: Any, byte_level: Any) -> None:
    for hf in (sentencepiece, byte_level):
        tokenizer = ChatTokenizer(hf)
        for text in ("the in the", "  a", "it, is."):
            ids = [token for token in tokenizer.encode(text) if token != hf.bos_token_id]
            texts = [tokenizer.token_text(token, first=not at) for at, token in enumerate(ids)]
            assert "".join(texts) == tokenizer.decode(ids)
    tokenizer = ChatTokenizer(sentencepiece)
    spaced, middle, end, part = sentencepiece.convert_tokens_to_ids(
        ["▁the", "the", "</s>", "<0xC3>"]
    )
    assert tokenizer.token_text(spaced) == " the"
    assert tokenizer.token_text(spaced, first=True) == tokenizer.token_text(middle) == "the"
    assert tokenizer.token_text(end) == tokenizer.token_text(end, first=True) == "</s>"
    assert tokenizer.token_text(part) == "\ufffd"


def test_memory_forgets_the_oldest(byte_level: Any) -> None:
    tokenizer = ChatTokenizer(byte_level, remembered=2)
    letters = [token for letter in "the" for token in tokenizer.encode(letter)]
    prompts = [tokenizer.encode_chat([user(str(number))]) for number in range(3)]
    for prompt in prompts:
        tokenizer.remember(prompt, letters, "the")
    longer = [tokenizer.encode_chat([user(str(number)), assistant("the")]) for number in range(3)]
    kept = [a[: len(b) + 3] == b + letters for a, b in zip(longer, prompts, strict=True)]
    assert kept == [False, True, True]


def test_a_template_that_refuses_says_so(sentencepiece: Any, byte_level: Any) -> None:
    with pytest.raises(InvalidRequestError, match="only user and assistant") as caught:
        ChatTokenizer(sentencepiece).encode_chat([{"role": "tool", "content": "a"}])
    assert caught.value.param == "messages"
    template = byte_level.chat_template
    try:
        byte_level.chat_template = None
        with pytest.raises(InvalidRequestError, match="no chat template"):
            ChatTokenizer(byte_level).encode_chat([user("a")])
    finally:
        byte_level.chat_template = template


def test_end_tokens_come_from_tokenizer_and_template(byte_level: Any, sentencepiece: Any) -> None:
    hf, eos = byte_level, byte_level.eos_token
    try:
        hf.eos_token = "<|endoftext|>"
        assert ChatTokenizer(hf).end_token_ids() == {0, END}
    finally:
        hf.eos_token = eos
    assert ChatTokenizer(sentencepiece).end_token_ids() == {2}
