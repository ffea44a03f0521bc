"""Prompt files: every line is used or named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from agentspark.errors import DataError
from agentspark.prompts.files import read_prompt_files, read_prompts
from agentspark.prompts.lines import Place

GOOD = '{"id": "a", "kind": "chat", "messages": [{"role": "user", "content": "hi"}]}\n'
HELLO = {"role": "user", "content": "hello"}
TOOL = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}


def write(path, *lines):
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    return path


def test_prompts_are_messages_or_token_ids(tmp_path):
    path = write(
        tmp_path / "p.jsonl",
        {"id": "a", "messages": [HELLO], "kind": "more fields are fine"},
        {"id": 2, "prompt_token_ids": [1, 2, 3]},
    )
    first, second = read_prompts(path)
    assert (first.id, first.messages, first.token_ids) == ("a", [HELLO], None)
    assert (second.id, second.messages, second.token_ids) == ("2", None, [1, 2, 3])
    assert (first.line_id, second.line_id, second.place) == ("a", 2, Place(path, 2))


CALL = {"id": "c", "type": "function", "function": {"name": "read", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "found"}]}


def test_messages_are_read_as_clients_record_them(tmp_path):
    path = write(tmp_path / "p.jsonl", {"id": 1, "messages": [HELLO, CALLS, RESULT]})
    assert read_prompts(path)[0].messages == [HELLO, CALLS, RESULT]
    assert read_prompt_files([path]).prompts == read_prompts(path)


@pytest.mark.parametrize("message", [{"content": None}, {"content": None, "tool_calls": []}, {}])
def test_a_message_that_says_nothing_is_named(tmp_path, message):
    path = write(tmp_path / "p.jsonl", {"id": 1, "messages": [{"role": "assistant", **message}]})
    with pytest.raises(DataError, match=r"line 1: messages\[0\] needs a string role, and content"):
        read_prompts(path)


@pytest.mark.parametrize(
    "line",
    [
        {"messages": [HELLO]},
        {"id": None, "messages": [HELLO]},
        {"id": "a"},
        {"id": "a", "messages": []},
        {"id": "a", "messages": [HELLO], "prompt_token_ids": [1]},
        {"id": "a", "messages": [{"role": "user"}]},
        {"id": "a", "messages": ["hello"]},
        {"id": "a", "prompt_token_ids": []},
        {"id": "a", "prompt_token_ids": [1, True]},
        {"id": "a", "prompt_token_ids": "12"},
        {"id": "first", "messages": [HELLO]},
    ],
)
def test_a_wrong_prompt_is_named_before_anything_runs(tmp_path, line):
    path = write(tmp_path / "p.jsonl", {"id": "first", "messages": [HELLO]}, line)
    with pytest.raises(DataError, match="line 2"):
        read_prompts(path)


def test_a_file_without_lines_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no prompts"):
        read_prompts(write(tmp_path / "p.jsonl", ""))


def test_a_limit_reads_no_further(tmp_path):
    path = write(tmp_path / "p.jsonl", {"id": 1, "messages": [HELLO]}, "not JSON")
    assert [prompt.id for prompt in read_prompts(path, limit=1)] == ["1"]


def test_good_lines_are_taken_and_bad_ones_named(tmp_path: Path):
    bad = [
        "{",
        "[]",
        '{"id": "b"}',
        '{"id": "c", "messages": []}',
        '{"id": "d", "messages": [{"role": "user"}]}',
        '{"id": "e", "messages": [{"role": "user", "content": 5}]}',
        '{"id": "f", "prompt_token_ids": [1, "x"]}',
        '{"messages": [{"role": "user", "content": "no id"}]}',
        '{"id": "a", "prompt_token_ids": [9]}',
        "[" * 100_000,
        '{"id": "\\ud800", "prompt_token_ids": [9]}',
    ]
    path = tmp_path / "p.jsonl"
    path.write_text(GOOD + "\n" + "\n".join(bad) + '\n{"id": 7, "prompt_token_ids": [1, 2]}\n')
    files = read_prompt_files([path])
    assert [p.id for p in files.prompts] == ["a", "7"]
    assert files.prompts[0].messages == [{"role": "user", "content": "hi"}]
    assert files.prompts[1].token_ids == [1, 2]
    assert files.prompts[1].name == "'7' (p.jsonl line 14)"
    assert "nested too deeply" in files.skipped[9][1]
    assert [place.line for place, _ in files.skipped] == list(range(3, 14))
    (told,) = files.describe()
    assert told.startswith(
        "11 prompt lines were left out (p.jsonl line 7, line 8: messages[0] needs a string role"
    )
    assert "p.jsonl line 3: not JSON" in told
    assert str(tmp_path) not in told
    assert told.endswith("; and 5 more reasons).")


def test_gzip_files_read_the_same(tmp_path: Path):
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(gzip.compress(GOOD.encode()))
    assert read_prompt_files([path]).prompts[0].id == "a"
    assert read_prompt_files([path]).describe() == ()


def test_unreadable_and_empty_files_are_errors(tmp_path: Path):
    with pytest.raises(DataError, match=r"absent\.jsonl"):
        read_prompt_files([tmp_path / "absent.jsonl"])
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(GOOD.encode() * 50)[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        read_prompt_files([cut])
    damaged = bytearray(gzip.compress(GOOD.encode() * 50))
    damaged[12:30] = b"\xff" * 18
    cut.write_bytes(damaged)
    with pytest.raises(DataError, match="cannot be read"):
        read_prompt_files([cut])
    empty = tmp_path / "empty.jsonl"
    empty.write_text("{\n")
    with pytest.raises(DataError, match="no usable prompt"):
        read_prompt_files([empty])


def test_wrong_lines_are_counted_by_reason(tmp_path):
    wrong = ["{" + " " * n for n in range(4)]
    other = write(tmp_path / "b.jsonl", *wrong)
    path = write(tmp_path / "a.jsonl", {"id": "a", "messages": [HELLO]}, {"id": "b"}, "{")
    (told,) = read_prompt_files([path, other]).describe()
    assert told.startswith(
        "6 prompt lines were left out (a.jsonl line 3, b.jsonl line 1, line 2 and 2 more: not JSON"
    )
    assert told.endswith("; a.jsonl line 2: give either messages or prompt_token_ids).")


def test_how_an_answer_was_sampled_is_not_followed_and_told(tmp_path):
    path = write(
        tmp_path / "p.jsonl",
        {"id": 1, "messages": [HELLO], "temperature": 0.5, "max_tokens": 9},
        {"id": 2, "messages": [HELLO], "max_tokens": 9, "source": "a set"},
    )
    files = read_prompt_files([path])
    assert len(files.prompts) == 2
    assert files.describe() == (
        "What prompt lines say of how answers were sampled is not followed, as that is chosen "
        "here (max_tokens in 2, temperature in 1).",
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"n": 3}, "n is not served here"),
        ({"maxTokens": 3}, "did you mean max_tokens"),
        ({"response_format": {"type": "json_object"}}, "response_format holds the answer"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
         "response_format holds the answer"),
        ({"regex": "a+"}, "regex holds the answer"),
        ({"choice": ["a", "b"]}, "choice holds the answer"),
        ({"tools": [TOOL], "tool_choice": "none"}, "tool_choice holds the answer"),
        ({"tools": [TOOL], "tool_choice": "required"}, "tool_choice holds the answer"),
        ({"tools": [TOOL], "parallel_tool_calls": False}, "parallel_tool_calls holds the answer"),
        ({"tools": [{"type": "search"}]}, "tools[0] must be"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_leaves_the_line_out(tmp_path, fields, reason):
    path = write(
        tmp_path / "p.jsonl", {"id": "a", "messages": [HELLO]},
        {"id": "b", "messages": [HELLO], **fields},
    )  # fmt: skip
    files = read_prompt_files([path])
    assert [prompt.id for prompt in files.prompts] == ["a"]
    (told,) = files.describe()
    assert told.startswith("1 prompt line was left out (p.jsonl line 2: ")
    assert reason in told


@pytest.mark.parametrize(
    "fields", [{"tool_choice": "auto"}, {"parallel_tool_calls": True}, {"tool_choice": None}]
)
def test_tools_that_may_be_called_or_not_are_a_part_of_the_prompt(tmp_path, fields):
    line = {"id": "a", "messages": [HELLO], "tools": [TOOL], **fields}
    (prompt,) = read_prompt_files([write(tmp_path / "p.jsonl", line)]).prompts
    assert [tool.name for tool in prompt.asked.chat.tools] == ["read"]
