"""``agentspark chat`` and ``pull`` on a tiny random target."""

from __future__ import annotations

import io


def test_one_answer(cli, tiny_target_dir):
    said = cli("chat", "Hello there", "--model", tiny_target_dir, "--max-tokens", 5)
    assert said.code == 0
    assert said.out.endswith("\n")
    assert "prompt tokens (0 cached), first token after" in said.err
    assert "ended by length" in said.err


def test_a_conversation_goes_on_until_it_is_left(cli, tiny_target_dir, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("first\nsecond\n/exit\nthird\n"))
    said = cli("chat", "--model", tiny_target_dir, "--max-tokens", 5, "--system", "Be brief.")
    assert said.code == 0
    figures = [line for line in said.err.splitlines() if line.startswith("[")]
    assert len(figures) == 2
    assert "(0 cached)" in figures[0]
    assert "(0 cached)" not in figures[1]


def test_a_question_that_cannot_be_answered_does_not_end_the_conversation(
    cli, tiny_target_dir, monkeypatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO("word " * 3000 + "\nshort\n"))
    said = cli("chat", "--model", tiny_target_dir, "--max-tokens", 2)
    assert said.code == 0
    assert "not answered: " in said.err
    assert said.out.strip()


def test_pull_prints_the_folder(cli, tiny_target_dir):
    assert cli("pull", tiny_target_dir).out.strip() == str(tiny_target_dir)
    said = cli("pull", tiny_target_dir / "none")
    assert said.code == 1
    assert said.err.startswith("error: ")
