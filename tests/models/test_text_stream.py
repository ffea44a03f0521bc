"""The pieces of a text stream add up to the full decode and never hold half a character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentspark.models import ChatTokenizer, TextStream


def pieces(stream: TextStream, token_ids: Sequence[int], sizes: Sequence[int]) -> list[str]:
    out, at = [], 0
    for size in sizes:
        out.append(stream.push(token_ids[at : at + size]))
        at += size
    return [*out, stream.push(token_ids[at:]), stream.flush()]


@pytest.fixture(scope="module", params=["byte_level", "sentencepiece"])
def tokenizer(request: pytest.FixtureRequest) -> ChatTokenizer:
    hf: Any = request.getfixturevalue(request.param)
    return ChatTokenizer(hf)


@given(data=st.data())
def test_any_tokens_add_up_to_the_full_decode(
    tokenizer: ChatTokenizer, data: st.DataObject
) -> None:
    ids = data.draw(st.lists(st.integers(0, len(tokenizer.hf) - 1), max_size=120))
    sizes = data.draw(st.lists(st.integers(0, 5), max_size=60))
    assert "".join(pieces(tokenizer.stream(), ids, sizes)) == tokenizer.decode(ids)


@given(text=st.text(max_size=200), sizes=st.lists(st.integers(0, 4), max_size=80))
def test_valid_text_comes_without_replacements(
    tokenizer: ChatTokenizer, text: str, sizes: list[int]
) -> None:
    ids = tokenizer.encode(text)
    whole = tokenizer.decode(ids)
    got = pieces(tokenizer.stream(), ids, sizes)
    assert "".join(got) == whole
    assert sum(piece.count("\ufffd") for piece in got) == whole.count("\ufffd")


@given(text=st.lists(st.sampled_from("🙂éßa "), min_size=20, max_size=60).map("".join))
def test_no_character_is_split_where_the_window_is_cut(tokenizer: ChatTokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    got = pieces(tokenizer.stream(), ids, [1] * len(ids))
    assert "".join(got) == tokenizer.decode(ids)
    assert "".join(got).strip() == text.strip()


@given(data=st.data())
def test_it_knows_where_each_text_begins(tokenizer: ChatTokenizer, data: st.DataObject) -> None:
    controls = set(tokenizer.controls.values())
    drawn = data.draw(st.lists(st.integers(0, len(tokenizer.hf) - 1), max_size=60))
    for ids in (drawn, tokenizer.encode(data.draw(st.text("🙂éßa \n", max_size=40)))):
        stream, text = tokenizer.stream(), tokenizer.decode(ids)
        placed = [stream.place(token) for token in ids]
        assert "".join(piece for _, piece in placed) + stream.flush() == text
        for at, (token, (begins, _)) in enumerate(zip(ids, placed, strict=True)):
            own = tokenizer.token_text(token, first=set(ids[:at]) <= controls)
            # Bytes beside one that fits no character are none either.
            if "\ufffd" not in own and tokenizer.hf.convert_ids_to_tokens(token)[0] != "<":
                assert text.startswith(own, begins)


def test_a_token_inside_of_a_character_begins_no_text_of_its_own(byte_level: Any) -> None:
    stream = ChatTokenizer(byte_level).stream()
    tokens = ChatTokenizer(byte_level).encode("a🙂b")
    assert [stream.place(token)[0] for token in tokens] == [0, 1, 1, 1, 1, 2]
    # A part of a character that nothing goes on with is one.
    stream = ChatTokenizer(byte_level).stream()
    assert [stream.place(token)[0] for token in (tokens[1], tokens[1], tokens[0])] == [0, 1, 2]


def test_a_character_of_several_tokens_comes_whole(byte_level: Any) -> None:
    tokenizer = ChatTokenizer(byte_level)
    ids = tokenizer.encode("🙂")
    assert len(ids) == 4
    stream = tokenizer.stream()
    assert [stream.push([token]) for token in ids] == ["", "", "", "🙂"]
    assert stream.flush() == ""


def test_an_unfinished_character_is_replaced_at_the_end(byte_level: Any) -> None:
    tokenizer = ChatTokenizer(byte_level)
    stream = tokenizer.stream()
    ids = tokenizer.encode("a🙂")[:-1]
    assert stream.push(ids) == "a"
    assert stream.flush() == "\ufffd"


def test_control_tokens_have_no_text(byte_level: Any) -> None:
    tokenizer = ChatTokenizer(byte_level)
    ids = [1, *tokenizer.encode("a"), 2, *tokenizer.encode("b")]
    assert "".join(pieces(tokenizer.stream(), ids, [1] * 9)) == "ab" == tokenizer.decode(ids)


def test_a_push_decodes_few_tokens_however_long_the_text(byte_level: Any) -> None:
    tokenizer = ChatTokenizer(byte_level)
    decoded: list[int] = []

    def decode(ids: Sequence[int]) -> str:
        decoded.append(len(ids))
        return tokenizer.decode(ids)

    stream, ids = TextStream(decode), tokenizer.encode("the work of an agent é 🙂 " * 200)
    assert "".join(pieces(stream, ids, [1] * len(ids))) == tokenizer.decode(ids)
    assert max(decoded) < 64 < len(ids)
