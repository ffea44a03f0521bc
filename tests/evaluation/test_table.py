"""The tables of an evaluation in the terminal."""

from __future__ import annotations

import io
from types import SimpleNamespace

from rich.console import Console

from agentspark.evaluation.table import kinds_table, lengths_table, positions_table, score_table


def test_what_fifteen_drafts_were_kept_fits_into_a_terminal():
    found = SimpleNamespace(
        setup=SimpleNamespace(temperatures=[0.0]),
        entrants=[SimpleNamespace(name="a-drafter+suffix")],
        scores=[SimpleNamespace(conditional=[0.05 * k for k in range(14)] + [None])],
    )
    found.score = lambda name, temperature: found.scores[0]
    console = Console(width=80, file=io.StringIO())
    console.print(positions_table(found))
    row = console.file.getvalue().splitlines()[1].split()
    assert row == ["a-drafter+suffix", "0", *(str(5 * k) for k in range(14)), "-"]


def test_names_from_files_are_neither_markup_nor_control_characters():
    evil = "[red]a\x1b[31m"
    found = SimpleNamespace(
        setup=SimpleNamespace(temperatures=[0.0]),
        entrants=[SimpleNamespace(name=evil)],
        kinds=[evil],
        scores=[],
        score=lambda name, temperature, kind=None: SimpleNamespace(
            accepted_length=2.0, draft_tokens=1, verified_tokens=1, wasted_tokens=0, tokens_s=1.0,
            baseline_tokens_s=1.0, speedup=1.0, identical=1, comparable=1, conditional=[0.5],
            ended=1, prompts=1, ended_accepted_length=1.0, accepted_length_error=0.25,
            ended_accepted_length_error=None,
        ),
    )  # fmt: skip
    console = Console(width=120, file=io.StringIO())
    for make in (score_table, positions_table, lengths_table, kinds_table):
        console.print(make(found))

    text = console.file.getvalue()
    assert text.count(r"[red]a\x1b[31m") == 5
    assert "\x1b" not in text
    assert "2.00 ± 0.25" in text
