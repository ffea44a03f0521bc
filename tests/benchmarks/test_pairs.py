"""Speeds and ratios of answers whose times are known."""

from __future__ import annotations

import pytest

from agentspark.engine.result import Completion, Counts, Timings
from benchmarks import decode, identical
from benchmarks.bench import Bench
from benchmarks.pairs import Pair, accepted_length, decode_speed, total_speed
from benchmarks.prompts import Prompt


def answer(tokens: int, seconds: float | None, rounds: int | None = None) -> Completion:
    counts = Counts(3, completion_tokens=tokens, rounds=tokens - 1 if rounds is None else rounds)
    return Completion(
        "id", "tiny", None, [1, 2, 3], list(range(tokens)), "", "length", counts,
        Timings(started_at=0.0, decode_s=seconds),
    )  # fmt: skip


def pair(name: str, kind: str | None, baseline: list[float], accelerated: list[float]) -> Pair:
    made = Pair(Prompt(name, kind, [1, 2, 3]))
    made.runs["baseline"] += [answer(11, seconds) for seconds in baseline]
    made.runs["accelerated"] += [answer(11, seconds, rounds=5) for seconds in accelerated]
    return made


def test_speed_leaves_the_first_token_out() -> None:
    assert decode_speed(answer(11, 2.0)) == 5.0
    assert decode_speed(answer(1, 0.0)) is None
    assert decode_speed(answer(5, None)) is None


def test_long_answers_weigh_more_in_the_total() -> None:
    assert total_speed([answer(11, 1.0), answer(101, 4.0)]) == 22.0
    assert total_speed([]) is None
    assert total_speed([answer(1, 0.0)]) is None


def test_accepted_length_counts_the_bonus_token() -> None:
    assert accepted_length([answer(11, 1.0, rounds=5), answer(5, 1.0, rounds=2)]) == 2.0
    assert accepted_length([answer(1, 0.0, rounds=0)]) is None


def test_a_pair_compares_the_medians_of_its_repetitions() -> None:
    made = pair("a", None, [4.0, 1.0, 2.0], [1.0, 0.5, 8.0])
    assert made.speed("baseline") == 5.0
    assert made.speedup == 2.0


def test_decode_gives_the_median_the_total_and_each_kind(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [
        pair("a", "chat", [1.0], [1.0]),
        pair("b", "code", [2.0], [1.0]),
        pair("c", "code", [3.0], [1.0]),
    ]
    monkeypatch.setitem(bench.__dict__, "pairs", pairs)
    found = decode.measure(bench)
    assert found.value == pytest.approx(2.0)
    assert found.met
    assert found.figures["total_ratio"] == pytest.approx(2.0)
    assert found.figures["accepted_length"] == 2.0
    kinds = found.figures["by_kind"]
    assert isinstance(kinds, dict)
    assert set(kinds) == {"chat", "code"}
    assert isinstance(kinds["code"], dict)
    assert kinds["code"]["median_ratio"] == pytest.approx(2.5)


def test_one_other_token_makes_a_prompt_different(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    same, other, shorter = (pair(name, None, [1.0, 1.0], [1.0, 1.0]) for name in "abc")
    other.runs["accelerated"][1].token_ids[7] = 99
    del shorter.runs["accelerated"][0].token_ids[4:]
    monkeypatch.setitem(bench.__dict__, "pairs", [same, other, shorter])
    found = identical.measure(bench)
    assert found.value == pytest.approx(1 / 3)
    assert found.met is False
    assert found.figures["first_difference"] == {"b": 7, "c": 4}
