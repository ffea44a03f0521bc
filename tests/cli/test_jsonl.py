"""Reading with line numbers, writing whole or not at all."""

from __future__ import annotations

import json
import os

import pytest

from agentspark.cli.jsonl import LinesFile, read_objects
from agentspark.cli.prompts import read_prompts
from agentspark.cli.transcripts import read_transcripts
from agentspark.errors import DataError

HELLO = {"role": "user", "content": "hello"}
ANSWER = {"role": "assistant", "content": "hi"}


def write(path, *lines):
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    return path


def test_blank_lines_are_skipped_and_counted(tmp_path):
    path = write(tmp_path / "a.jsonl", {"a": 1}, "", {"a": 2})
    assert list(read_objects(path)) == [(1, {"a": 1}), (3, {"a": 2})]


@pytest.mark.parametrize(
    "line", ["{", "[1]", '"text"', "nonsense", "[" * 50_000, '{"a": 1' + "0" * 5000 + "}"]
)
def test_a_wrong_line_is_named(tmp_path, line):
    path = write(tmp_path / "a.jsonl", {"a": 1}, line)
    with pytest.raises(DataError, match=r"a\.jsonl line 2"):
        list(read_objects(path))


def test_a_missing_file_and_bytes_that_are_no_text_are_data_errors(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        list(read_objects(tmp_path / "none.jsonl"))
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe{}")
    with pytest.raises(DataError, match="UTF-8"):
        list(read_objects(tmp_path / "b.jsonl"))


def test_prompts_are_messages_or_token_ids(tmp_path):
    path = write(
        tmp_path / "p.jsonl",
        {"id": "a", "messages": [HELLO], "kind": "more fields are fine"},
        {"id": 2, "prompt_token_ids": [1, 2, 3]},
    )
    first, second = read_prompts(path)
    assert (first.id, first.messages, first.token_ids) == ("a", [HELLO], None)
    assert (second.id, second.messages, second.token_ids, second.line) == (2, None, [1, 2, 3], 2)


CALL = {"id": "c", "type": "function", "function": {"name": "read", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "found"}]}


def test_messages_are_read_as_clients_record_them(tmp_path):
    path = write(tmp_path / "p.jsonl", {"id": 1, "messages": [HELLO, CALLS, RESULT]})
    assert read_prompts(path)[0].messages == [HELLO, CALLS, RESULT]
    steps = [[HELLO], [HELLO, CALLS, RESULT]]
    assert (
        read_transcripts(write(tmp_path / "t.jsonl", {"id": 1, "steps": steps}))[0].steps == steps
    )


@pytest.mark.parametrize("message", [{"content": None}, {"content": None, "tool_calls": []}, {}])
def test_a_message_that_says_nothing_is_named(tmp_path, message):
    path = write(tmp_path / "p.jsonl", {"id": 1, "messages": [{"role": "assistant", **message}]})
    with pytest.raises(DataError, match=r"line 1: messages\[0\] needs a string role, and content"):
        read_prompts(path)


@pytest.mark.parametrize("message", [{"role": "robot", "content": "x"}, RESULT])
def test_transcripts_that_no_model_can_be_given_are_named_before_anything_runs(tmp_path, message):
    path = write(tmp_path / "t.jsonl", {"id": 1, "steps": [[HELLO], [HELLO, message]]})
    with pytest.raises(DataError, match=r"line 1: steps\[1\]: messages\[1\]"):
        read_transcripts(path)


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
    with pytest.raises(DataError, match="no transcripts"):
        read_transcripts(write(tmp_path / "t.jsonl", ""))


def test_transcripts_grow_step_by_step(tmp_path):
    steps = [[HELLO], [HELLO, ANSWER, HELLO]]
    (found,) = read_transcripts(write(tmp_path / "t.jsonl", {"id": 7, "steps": steps}))
    assert (found.id, found.steps) == ("7", steps)


@pytest.mark.parametrize(
    "steps",
    [[], "steps", [[]], [[HELLO], [HELLO]], [[HELLO], [ANSWER, HELLO]], [[HELLO, ANSWER], [HELLO]]],
)
def test_steps_that_do_not_extend_each_other_are_named(tmp_path, steps):
    path = write(tmp_path / "t.jsonl", {"id": "a", "steps": steps})
    with pytest.raises(DataError, match="line 1"):
        read_transcripts(path)


def test_lines_appear_under_the_final_name_only_when_all_are_there(tmp_path):
    path = tmp_path / "deep" / "out.jsonl"
    with LinesFile(path) as file:
        file.write({"text": "Straße"})
        assert not path.exists()
        assert json.loads(file.partial.read_text()) == {"text": "Straße"}
    assert json.loads(path.read_text()) == {"text": "Straße"}
    assert not file.partial.exists()


def test_after_an_interrupt_an_earlier_file_is_untouched_and_finished_lines_are_whole(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text("earlier")
    with pytest.raises(KeyboardInterrupt), LinesFile(path) as file:
        file.write({"n": 1})
        raise KeyboardInterrupt
    assert path.read_text() == "earlier"
    assert json.loads(file.partial.read_text()) == {"n": 1}


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    path = tmp_path / "out.jsonl"
    real = os.write
    with pytest.raises(OSError, match="No space"), LinesFile(path) as file:
        file.write({"n": 1})

        def full(descriptor, data):
            if len(data) > 4:
                return real(descriptor, data[:4])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        file.write({"n": 22222})
    assert file.partial.read_text() == '{"n": 1}\n'
    assert not path.exists()
