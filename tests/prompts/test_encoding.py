"""Prompts that a target cannot take are left out, counted and named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from agentspark.cli.batch import run_batch
from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.handle import Handle
from agentspark.engine.params import RequestOptions
from agentspark.engine.result import Completion
from agentspark.errors import DataError, RequestError
from agentspark.prompts.asked import Asked
from agentspark.prompts.encoding import encode_prompt
from agentspark.prompts.files import read_prompt_files, read_prompts
from agentspark.prompts.left_out import LeftOut
from agentspark.prompts.lines import Place
from agentspark.prompts.prompt import Prompt
from agentspark.sampling.params import SamplingParams
from agentspark.train.config import DataConfig
from agentspark.train.regenerate import regenerate
from agentspark.train.responses import read_responses

DATA = DataConfig(max_tokens=12)


@pytest.fixture(scope="module")
def engine(tiny_target_dir: Path, cost_cache: Path):
    settings = EngineConfig(max_requests=4, kv_tokens=4096, cache_dir=cost_cache)
    with Engine.load(tiny_target_dir, drafter=None, config=settings) as loaded:
        yield loaded


def ids(name: str, *tokens: int, place: Place | None = None) -> Prompt:
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


TOOL = {
    "type": "function",
    "function": {"name": "read", "parameters": {"type": "object", "properties": {}}},
}
CALL = {"id": "c", "type": "function", "function": {"name": "read", "arguments": "{}"}}
RECORDED = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "Read "}, {"type": "text", "text": "it"}],
    },
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "found"}]},
]


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": RECORDED, "tools": [TOOL], "max_tokens": 3},
        {"messages": RECORDED},
        {"messages": RECORDED[:1], "tools": [TOOL], "tool_choice": "auto"},
        {"messages": RECORDED[:1]},
        {"prompt_token_ids": [1, 5]},
    ],
)
def test_a_prompt_has_the_tokens_that_generate_gives_it(
    engine: Engine, tmp_path: Path, fields: dict[str, object]
) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"id": "a", **fields}))
    sampling, options = SamplingParams(max_tokens=1), RequestOptions()
    ((_, answer),) = run_batch(engine, read_prompts(path), sampling, options, 1)
    assert isinstance(answer, Completion)
    (prompt,) = read_prompt_files([path]).prompts
    left_out = LeftOut()
    assert encode_prompt(engine, prompt, left_out) == answer.prompt_token_ids
    assert left_out.describe() == ()
    # Training answers these very tokens.
    responses = tmp_path / "r.jsonl"
    regenerate(engine, [prompt], responses, DATA)
    assert next(read_responses(responses)).prompt_token_ids == answer.prompt_token_ids
    if "tools" in fields:
        bare = replace(prompt, asked=Asked())
        assert encode_prompt(engine, bare, left_out) != answer.prompt_token_ids


def test_arguments_that_the_template_does_not_read_are_told(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"id": "a", "messages": RECORDED[:1], "template_args": {"x": 1}}))
    left_out = LeftOut()
    assert encode_prompt(engine, read_prompts(path)[0], left_out) is None
    assert "template_args.x is nothing" in left_out.describe()[0]


def test_what_is_too_long_is_counted_by_reason(engine: Engine) -> None:
    left_out = LeftOut()
    assert encode_prompt(engine, ids("a", 1, 5), left_out, room=2046, longest=2) == [1, 5]
    assert encode_prompt(engine, ids("b", 1, 5), left_out, room=2047) is None
    for line, name in enumerate("cdefg", start=3):
        prompt = ids(name, 1, 5, 6, place=Place(Path("p.jsonl"), line))
        assert encode_prompt(engine, prompt, left_out, longest=2) is None
    assert left_out.describe() == (
        "1 prompt was left out, without room for 2047 more tokens in a context of 2048 ('b').",
        "5 prompts were left out, longer than 2 tokens ('c' (p.jsonl line 3); "
        "'d' (p.jsonl line 4); 'e' (p.jsonl line 5) and 2 more).",
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
