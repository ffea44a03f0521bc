"""The files that come with the measurements, and the reader of prompts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentspark.cli.transcripts import read_transcripts
from agentspark.errors import DataError
from benchmarks.bench import DATA, Bench
from benchmarks.make_transcripts import ROOT, build
from benchmarks.prompts import read_prompts
from benchmarks.transcript_tools import Repository


def test_prompts_come_in_several_kinds(bench: Bench) -> None:
    prompts = read_prompts(DATA / "prompts.jsonl", bench.engine.target.tokenizer)
    assert len(prompts) == 12
    kinds = {prompt.kind for prompt in prompts}
    assert kinds == {"chat", "code", "math", "extract", "summarize", "tool", "agent"}


def test_kept_transcripts_are_long_agents_work() -> None:
    transcripts = read_transcripts(DATA / "transcripts.jsonl")
    assert len(transcripts) == 3
    for transcript in transcripts:
        assert 8 <= len(transcript.steps) <= 12
        assert 7_000 < sum(len(m["content"]) for m in transcript.steps[-1]) < 14_000


def test_transcripts_can_be_made_again_and_are_always_the_same(tmp_path: Path) -> None:
    made = build()
    assert made == build()
    path = tmp_path / "again.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in made))
    kept = read_transcripts(DATA / "transcripts.jsonl")
    assert [(t.id, len(t.steps)) for t in read_transcripts(path)] == [
        (t.id, len(t.steps)) for t in kept
    ]
    assert str(ROOT) not in path.read_text()


def test_tools_show_what_is_in_the_files(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    body = "".join(f"VALUE_{n} = {n}  # a line to read\n" for n in range(100))
    (tmp_path / "room" / "big.py").write_text(body)
    (tmp_path / "room" / "small.py").write_text('"""Adds."""\n\ndef add(a, b):\n    return a + b\n')
    tools = Repository(tmp_path)
    assert tools.list_files("room") == "big.py  100 lines\nsmall.py  4 lines"
    assert tools.read_file("room/small.py", 3) == "   3  def add(a, b):\n   4      return a + b"
    assert tools.search(r"VALUE_9\b", "room") == "room/big.py:10: VALUE_9 = 9  # a line to read"
    assert tools.search("nothing", "room") == "no matches"
    assert tools.outline("room/small.py") == ("room/small.py: Adds.\n   3  def add: no description")
    lines = tools.read_file("room/big.py", 1).splitlines()
    assert lines[-1] == f"... {100 - len(lines) + 1} more lines"
    with pytest.raises(DataError, match="no longer there"):
        tools.read_file("room/gone.py", 1)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no prompts"),
        ([{"id": "a", "messages": []}], "line 1"),
        ([{"messages": [{"role": "user", "content": "x"}]}], "give an id"),
        ([{"id": "a", "prompt_token_ids": [1, 2]}], "line 1: .*give messages"),
        (
            [{"id": "a", "seed": 3, "messages": [{"role": "user", "content": "x"}]}],
            "line 1: .*same",
        ),
        (
            [{"id": "a", "messages": [{"role": "user", "content": "x"}]}] * 2,
            "line 2.*stands in line 1",
        ),
    ],
)
def test_wrong_prompts(bench: Bench, tmp_path: Path, lines: list[object], message: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(DataError, match=message):
        read_prompts(path, bench.engine.target.tokenizer)


def test_a_limit_reads_no_further(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"id": 1, "messages": [{"role": "user", "content": "x"}]}\nnot JSON\n')
    (prompt,) = read_prompts(path, bench.engine.target.tokenizer, limit=1)
    assert (prompt.id, prompt.kind) == ("1", None)
