"""Transcripts: every step extends the one before, and a wrong line is named."""

from __future__ import annotations

import json

import pytest

from agentspark.cli.transcripts import read_transcripts
from agentspark.errors import DataError

HELLO = {"role": "user", "content": "hello"}
ANSWER = {"role": "assistant", "content": "hi"}


def write(path, *lines):
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    return path


CALL = {"id": "c", "type": "function", "function": {"name": "read", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "found"}]}


def test_messages_are_read_as_clients_record_them(tmp_path):
    steps = [[HELLO], [HELLO, CALLS, RESULT]]
    path = write(tmp_path / "t.jsonl", {"id": 1, "steps": steps})
    assert read_transcripts(path)[0].steps == steps


@pytest.mark.parametrize("message", [{"role": "robot", "content": "x"}, RESULT])
def test_transcripts_that_no_model_can_be_given_are_named_before_anything_runs(tmp_path, message):
    path = write(tmp_path / "t.jsonl", {"id": 1, "steps": [[HELLO], [HELLO, message]]})
    with pytest.raises(DataError, match=r"line 1: steps\[1\]: messages\[1\]"):
        read_transcripts(path)


def test_a_file_without_lines_is_an_error(tmp_path):
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
