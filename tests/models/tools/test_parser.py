"""Answers are taken apart the same way however their text arrives."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentspark.models.tools.call import AnswerDelta
from agentspark.models.tools.formats import (
    DEEPSEEK,
    DEEPSEEK_PLAIN,
    GENERIC,
    HERMES,
    LLAMA3,
    MISTRAL,
    MISTRAL_ARGS,
    ToolFormat,
)
from agentspark.models.tools.parser import AnswerParser
from agentspark.models.tools.reasoning import Beginning, ReasoningFormat

FORMATS = (HERMES, LLAMA3, MISTRAL, MISTRAL_ARGS, DEEPSEEK, DEEPSEEK_PLAIN, GENERIC)
THINK = ReasoningFormat("<think>", "</think>")
CALLS = (
    ("read", '{"path": "a}\\"]{.txt", "lines": [1, {"x": null}]}'),
    ("stop", "{}"),
    ("say", '{"text": "</tool_call> [TOOL_CALLS] <think>é\\\\"}'),
)


def written(form: ToolFormat, calls: tuple[tuple[str, str], ...]) -> str:
    one = [f"{form.before}{name}{form.middle}{arguments}{form.after}" for name, arguments in calls]
    return form.opening + form.between.join(one) + form.closing


def parse(parser: AnswerParser, pieces: list[str]) -> AnswerDelta:
    whole = AnswerDelta()
    for piece in pieces:
        whole.add(parser.push(piece))
    whole.add(parser.flush())
    return whole


def calls_of(delta: AnswerDelta) -> list[tuple[str, str]]:
    """Put the deltas together as a client does, checking what clients rely on."""
    names: list[str] = []
    arguments: list[str] = []
    for piece in delta.tool_calls:
        if piece.index == len(names):
            assert piece.id is not None and piece.name is not None and piece.arguments == ""
            names.append(piece.name)
            arguments.append("")
        else:
            assert piece.index == len(names) - 1
            assert piece.id is None and piece.name is None
            arguments[-1] += piece.arguments
    return list(zip(names, arguments, strict=True))


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize("beginning", ["none", "inside", "optional"])
def test_every_split_gives_the_same_parts(form: ToolFormat, beginning: Beginning) -> None:
    thoughts = "First <tool_call> no { [TOOL_CALLS\n\nthen so. </thin"
    content = "" if form.first_only else "I will look < [TOOL \n that up."
    before = {
        "none": "",
        "inside": f"\n{thoughts}\n</think>\n\n",
        "optional": f"<think>\n{thoughts}\n</think>\n\n",
    }
    text = before[beginning] + content + ("\n" if content else "") + written(form, CALLS)
    for at in range(len(text) + 1):
        parser = AnswerParser(form, THINK, beginning)
        found = parse(parser, [text[:at], text[at:]])
        assert calls_of(found) == list(CALLS)
        assert [(call.name, call.arguments) for call in parser.calls] == list(CALLS)
        assert found.content == content
        assert found.reasoning == ("" if beginning == "none" else thoughts)


@given(
    pieces=st.lists(
        st.text(max_size=6)
        | st.sampled_from(
            ["<think>", "</think>", "<tool_", "call>\n", '{"name": "', "[TOOL", " \n"]
        ),
        max_size=12,
    ),
    cuts=st.lists(st.integers(0, 80), max_size=6),
    form=st.sampled_from([None, *FORMATS]),
    beginning=st.sampled_from(["none", "inside", "optional"]),
)
def test_cuts_change_nothing(
    pieces: list[str], cuts: list[int], form: ToolFormat | None, beginning: Beginning
) -> None:
    text = "".join(pieces)
    whole = parse(AnswerParser(form, THINK, beginning), [text])
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    parts = [text[a:b] for a, b in pairwise(edges)]
    found = parse(AnswerParser(form, THINK, beginning), parts)
    assert (found.content, found.reasoning) == (whole.content, whole.reasoning)
    assert calls_of(found) == calls_of(whole)
    letters = parse(AnswerParser(form, THINK, beginning), list(text))
    assert (letters.content, letters.reasoning) == (whole.content, whole.reasoning)


@given(st.text(max_size=40))
def test_text_without_tools_or_reasoning_is_content(text: str) -> None:
    assert parse(AnswerParser(None), [text]).content == text


def test_reasoning_that_never_ends_is_reasoning() -> None:
    found = parse(AnswerParser(None, THINK, "inside"), ["so ", "on</thi"])
    assert (found.reasoning, found.content) == ("so on</thi", "")


def test_a_call_cut_short_is_given_out_in_pieces_but_is_no_call() -> None:
    parser = AnswerParser(HERMES)
    found = parse(parser, ['<tool_call>\n{"name": "read", "arguments": {"path": "a'])
    assert calls_of(found) == [("read", '{"path": "a')]
    assert parser.calls == []
    cut = parser.unfinished
    assert cut is not None and (cut.name, cut.arguments) == ("read", '{"path": "a')


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
@pytest.mark.parametrize("required", [False, True])
def test_the_head_of_a_call_cut_short_is_no_content(form: ToolFormat, required: bool) -> None:
    text = written(form, CALLS)
    for end in range(len(text)):
        parser = AnswerParser(form, required=required)
        found = parse(parser, [text[:end]])
        # Where calls are only possible, text which might still have become a marker stays text.
        certain = required or end >= len(form.marker)
        assert found.content == ("" if certain else text[:end])
        told = [(call.name, call.arguments) for call in parser.calls]
        if parser.unfinished is not None:
            told.append((parser.unfinished.name, parser.unfinished.arguments))
        assert told == calls_of(found)


def test_where_a_call_is_required_the_beginning_of_an_opening_is_no_content() -> None:
    assert parse(AnswerParser(HERMES, THINK, "optional", required=True), ["<t"]).content == ""
    assert parse(AnswerParser(HERMES, THINK, "optional"), ["<t"]).content == "<t"


def test_json_text_behind_content_is_no_call_where_calls_come_first() -> None:
    found = parse(AnswerParser(LLAMA3), ['See: {"name": "x", "parameters": {}}'])
    assert found.content == 'See: {"name": "x", "parameters": {}}' and not found.tool_calls


def test_arguments_arrive_as_they_are_generated() -> None:
    parser = AnswerParser(HERMES)
    parser.push('<tool_call>\n{"name": "read", "arguments": ')
    assert [d.arguments for d in parser.push('{"pa').tool_calls] == ['{"pa']
    assert [d.arguments for d in parser.push('th": "x"}}').tool_calls] == ['th": "x"}']
