"""Prompts that a target cannot take are left out, counted and named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.handle import Handle
from agentspark.errors import DataError, RequestError
from agentspark.train.config import DataConfig
from agentspark.train.encoding import encode_prompt
from agentspark.train.left_out import LeftOut
from agentspark.train.prompts import Prompt
from agentspark.train.regenerate import regenerate
from agentspark.train.responses import read_responses

DATA = DataConfig(max_tokens=12)


@pytest.fixture(scope="module")
def engine(tiny_target_dir: Path, cost_cache: Path):
    settings = EngineConfig(max_requests=4, kv_tokens=4096, cache_dir=cost_cache)
    with Engine.load(tiny_target_dir, drafter=None, config=settings) as loaded:
        yield loaded


def ids(name: str, *tokens: int, place: str | None = None) -> Prompt:
    return Prompt(name, "chat", None, list(tokens), place)


def chat(name: str, role: str, content: str) -> Prompt:
    return Prompt(name, "chat", [{"role": role, "content": content}], None)


WRONG = [
    (ids("high", 1, 99_999), "511"),
    (ids("low", 1, -6), "511"),
    (chat("role", "weird", "a"), "role 'weird'"),
    (chat("half", "user", "a \ud800 b"), "no Unicode"),
]


@pytest.mark.parametrize(("prompt", "words"), WRONG, ids=[prompt.id for prompt, _ in WRONG])
def test_what_the_target_cannot_take_is_named(engine: Engine, prompt: Prompt, words: str) -> None:
    left_out = LeftOut()
    assert encode_prompt(engine, prompt, left_out) is None
    (sentence,) = left_out.describe()
    assert sentence.startswith("1 prompt was left out, as the target cannot take them")
    assert repr(prompt.id) in sentence
    assert words in sentence


def test_what_is_too_long_is_counted_by_reason(engine: Engine) -> None:
    left_out = LeftOut()
    assert encode_prompt(engine, ids("a", 1, 5), left_out, room=2046, longest=2) == [1, 5]
    assert encode_prompt(engine, ids("b", 1, 5), left_out, room=2047) is None
    for name in "cdefg":
        prompt = ids(name, 1, 5, 6, place=f"p.jsonl line {name}")
        assert encode_prompt(engine, prompt, left_out, longest=2) is None
    assert left_out.describe() == (
        "1 prompt was left out, without room for 2047 more tokens in a context of 2048 ('b').",
        "5 prompts were left out, longer than 2 tokens ('c' (p.jsonl line c); "
        "'d' (p.jsonl line d); 'e' (p.jsonl line e) and 2 more).",
    )


def test_one_bad_prompt_does_not_stop_the_answers(engine: Engine, tmp_path: Path) -> None:
    good = [ids(f"p{n}", 1, 5, 6 + n) for n in range(4)]
    some = [WRONG[0][0], *good[:2], WRONG[2][0], ids("twin", 1, 5, 6), *good[2:]]
    left_out, path = LeftOut(), tmp_path / "r.jsonl"
    assert regenerate(engine, some, path, DATA, left_out=left_out) == 4
    assert {r.id for r in read_responses(path)} == {prompt.id for prompt in good}
    bad, twin = left_out.describe()
    assert "2 prompts" in bad and "'high'" in bad and "'role'" in bad
    assert twin == "1 prompt was left out, equal to another token for token ('twin')."
    # Started again, it says so again.
    again = LeftOut()
    assert regenerate(engine, some, path, DATA, left_out=again) == 4
    assert again == left_out


def test_failed_answers_are_counted_too(engine: Engine, tmp_path: Path, monkeypatch) -> None:
    real, calls = Handle.result, []

    def result(handle: Handle):
        calls.append(1)
        if len(calls) == 2:
            raise RequestError("no room.")
        return real(handle)

    monkeypatch.setattr(Handle, "result", result)
    left_out = LeftOut()
    some = [ids(f"p{n}", 1, 5, 6 + n) for n in range(3)]
    assert regenerate(engine, some, tmp_path / "r.jsonl", DATA, left_out=left_out) == 2
    assert left_out.describe() == ("1 prompt was left out, as answering failed ('p1': no room).",)


def test_where_no_prompt_is_left_the_reason_is_told(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no prompt can be answered: 2 prompts .* room for 4000"):
        regenerate(
            engine, [ids("a", 1), ids("b", 2)], tmp_path / "r", replace(DATA, max_tokens=4000)
        )
