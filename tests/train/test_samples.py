"""Several answers to each prompt: which are asked for, what they are called, what is held out."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.errors import ConfigError, InvalidRequestError
from agentspark.prompts.prompt import Prompt
from agentspark.train.config import DataConfig, OptimConfig
from agentspark.train.regenerate import regenerate
from agentspark.train.responses import prompt_id, read_responses, sample_id
from agentspark.train.source import is_held_out

DATA = DataConfig(max_tokens=12, samples=3)


def prompts(count: int) -> list[Prompt]:
    return [Prompt(f"p{i}", "chat", None, [1, 5, 6 + i, *range(9, 50)]) for i in range(count)]


@pytest.fixture(scope="module")
def engine(tiny_target_dir: Path):
    settings = EngineConfig(max_requests=6)
    with Engine.load(tiny_target_dir, drafter=None, config=settings) as loaded:
        yield loaded


def test_every_prompt_is_answered_so_often_and_the_first_answers_are_those_of_one(
    engine: Engine, tmp_path: Path
) -> None:
    path, alone = tmp_path / "three.jsonl", tmp_path / "one.jsonl"
    assert regenerate(engine, prompts(4), path, DATA) == 12
    found = {r.id: r for r in read_responses(path)}
    assert Counter(prompt_id(name) for name in found) == {f"p{i}": 3 for i in range(4)}
    for i in range(4):
        own = [found[sample_id(f"p{i}", number)] for number in range(3)]
        assert sorted(r.temperature for r in own) == [0.0, 0.8, 0.8]
        # Samples of one temperature have seeds of their own.
        drawn = [r.token_ids for r in own if r.temperature > 0.0]
        assert drawn[0] != drawn[1]
    # The prompt is read once for all of them, which must not change what is answered.
    assert regenerate(engine, prompts(4), alone, replace(DATA, samples=1)) == 4
    assert all(found[r.id] == r for r in read_responses(alone))


def test_a_kill_between_samples_loses_none(engine: Engine, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    regenerate(engine, prompts(3), whole, DATA)

    def kill(done: int, total: int) -> None:
        assert total == 9
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        regenerate(engine, prompts(3), broken, DATA, progress=kill)
    assert regenerate(engine, prompts(3), broken, DATA) == 9
    assert {r.id: r for r in read_responses(broken)} == {r.id: r for r in read_responses(whole)}
    assert regenerate(engine, prompts(3), tmp_path / "few", replace(DATA, max_responses=5)) == 5


def test_a_prompt_is_held_out_with_all_of_its_answers() -> None:
    for i in range(50):
        names = {sample_id(f"p{i}", number) for number in range(4)}
        assert len(names) == 4
        assert {is_held_out(name, 5) for name in names} == {is_held_out(f"p{i}", 5)}
    assert prompt_id("plain") == "plain"


@pytest.mark.parametrize(
    ("temperatures", "index", "expected"),
    [
        ((0.0, 0.8), 0, [0.0, 0.8, 0.8]),
        ((0.0, 0.8), 1, [0.8, 0.0, 0.8]),
        ((0.7,), 5, [0.7, 0.7, 0.7]),
        ((0.0, 0.5, 1.0), 2, [1.0, 0.0, 0.5]),
    ],
)
def test_temperatures_take_turns_and_greedy_comes_once(
    temperatures: tuple[float, ...], index: int, expected: list[float]
) -> None:
    data = replace(DATA, temperatures=temperatures)
    assert data.sample_temperatures(index) == expected
    assert replace(data, samples=1).sample_temperatures(index) == expected[:1]


def test_equal_answers_are_not_asked_for() -> None:
    with pytest.raises(ConfigError, match="same answer every time"):
        replace(DATA, temperatures=(0.0,))
    with pytest.raises(ConfigError, match="samples=0"):
        replace(DATA, samples=0)
    assert replace(DATA, temperatures=(0.0,), samples=1).sample_temperatures(3) == [0.0]


@pytest.mark.parametrize("wrong", [-0.1, math.nan, math.inf])
def test_temperatures_that_cannot_be_are_told_at_once(wrong: float):
    with pytest.raises(InvalidRequestError, match="temperature="):
        DataConfig(temperatures=(0.0, wrong))


@pytest.mark.parametrize(
    ("name", "wrong"), [("lr", math.inf), ("lr", math.nan), ("weight_decay", -1.0)]
)
def test_rates_that_lead_nowhere_are_told_at_once(name: str, wrong: float):
    with pytest.raises(ConfigError, match=f"{name}="):
        OptimConfig(**{name: wrong})
