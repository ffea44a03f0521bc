"""Response files that are replayed: only what the target itself can have said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentspark.errors import DataError
from agentspark.train.responses import read_replay, read_responses

LINE = {"id": "a", "kind": "chat", "prompt_token_ids": [1, 5], "token_ids": [9, 8]}


def written(path: Path, *lines: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_lines_with_negative_tokens_are_no_responses(tmp_path: Path):
    path = written(
        tmp_path / "r.jsonl", LINE, {**LINE, "token_ids": [9, -3]},
        {**LINE, "prompt_token_ids": [-1]},
    )  # fmt: skip
    found, note = read_replay(path, 10, "mine")
    assert [response.token_ids for response in found] == [[9, 8]]
    assert note == "2 lines of r.jsonl are no responses (line 2 first)."


def test_broken_lines_are_left_out_whatever_bytes_they_hold(tmp_path: Path):
    path = tmp_path / "r.jsonl"
    lines = [json.dumps({**LINE, "id": name}).encode() for name in "ab"]
    path.write_bytes(b"\n".join([lines[0], b"\xff\xfe\x00", b"\0" * 20, lines[1], lines[1][:9]]))
    assert [response.id for response in read_responses(path)] == ["a", "b"]


def test_responses_of_another_target_are_refused(tmp_path: Path):
    known = {**LINE, "target": "mine"}
    path = written(tmp_path / "r.jsonl", LINE, known)
    assert len(read_replay(path, 10, "mine")[0]) == 2
    written(path, LINE, known, {**LINE, "target": "other"})
    with pytest.raises(DataError, match="responses of another target"):
        read_replay(path, 10, "mine")
    with pytest.raises(DataError, match="beyond the target's 9"):
        read_replay(written(path, LINE), 9, "mine")
