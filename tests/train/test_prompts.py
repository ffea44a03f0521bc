"""Prompt files: every line is used or named."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from agentspark.errors import DataError
from agentspark.train.prompts import Prompt, read_prompt_files, spread_over_kinds

GOOD = '{"id": "a", "kind": "chat", "messages": [{"role": "user", "content": "hi"}]}\n'


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
    assert "nested too deeply" in files.skipped[9][2]
    assert [line for _, line, _ in files.skipped] == list(range(3, 14))
    told = files.describe_skipped()
    assert told is not None
    assert "11 prompt lines" in told
    assert "p.jsonl line 3" in told


def test_gzip_files_read_the_same(tmp_path: Path):
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(gzip.compress(GOOD.encode()))
    assert read_prompt_files([path]).prompts[0].id == "a"
    assert read_prompt_files([path]).describe_skipped() is None


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


def test_a_digest_tells_what_is_asked_and_not_its_name():
    chat = [{"role": "user", "content": "a"}]
    one = Prompt("a", "chat", chat, None)
    same = Prompt("b", "code", [{"content": "a", "role": "user"}], None, "p.jsonl line 1")
    assert one.digest == same.digest
    others = [Prompt("a", "chat", [*chat, *chat], None), Prompt("a", "chat", None, [1])]
    assert one.digest not in {other.digest for other in others}


def test_prompts_are_drawn_evenly_over_their_kinds():
    many = [Prompt(f"{kind}{n}", kind, None, [1]) for kind in "abc" for n in range(40)]
    few = [Prompt(f"d{n}", "d", None, [1]) for n in range(3)]
    chosen = spread_over_kinds([*many, *few], 33)
    kinds = [prompt.kind for prompt in chosen]
    assert [kinds.count(kind) for kind in "abcd"] == [10, 10, 10, 3]
    assert len({prompt.id for prompt in chosen}) == 33
    assert spread_over_kinds([*many, *few], 33) == chosen
    assert spread_over_kinds([*many, *few], 33, seed=1) != chosen
    assert len(spread_over_kinds(few, 10)) == 3
