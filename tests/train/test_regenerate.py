"""What the target answers to prompts, resumed and bounded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.errors import TrainError
from agentspark.prompts.prompt import Prompt
from agentspark.train import regenerate as regenerate_module
from agentspark.train.config import DataConfig
from agentspark.train.regenerate import regenerate
from agentspark.train.responses import read_responses

DATA = DataConfig(max_tokens=12, held_out_every=4)


def prompts(count: int) -> list[Prompt]:
    return [Prompt(f"p{i}", "chat", None, [1, 5, 6 + i]) for i in range(count)]


@pytest.fixture(scope="module")
def engine(tiny_target_dir: Path):
    settings = EngineConfig(max_requests=4)
    with Engine.load(tiny_target_dir, drafter=None, config=settings) as loaded:
        yield loaded


def test_responses_are_resumed_after_a_kill(engine, tmp_path: Path):
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    assert regenerate(engine, prompts(9), whole, DATA) == 9

    def kill(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        regenerate(engine, prompts(9), broken, DATA, progress=kill)
    with broken.open("a") as handle:
        handle.write('{"id": "p8", "prompt_tok')
    assert regenerate(engine, prompts(9), broken, DATA) == 9
    assert {r.id: r for r in read_responses(broken)} == {r.id: r for r in read_responses(whole)}


def test_a_full_disk_keeps_the_responses_so_far(engine, tmp_path: Path, monkeypatch):
    real, path = regenerate_module._append, tmp_path / "r.jsonl"

    def full(out, response):
        if len(path.read_text().splitlines()) >= 3:
            raise OSError(28, "No space left on device")
        real(out, response)

    monkeypatch.setattr(regenerate_module, "_append", full)
    with pytest.raises(TrainError, match="free some disk"):
        regenerate(engine, prompts(6), path, DATA)
    assert len(list(read_responses(path))) == 3
    monkeypatch.undo()

    # Started again while it is still full, with a line that was cut off.
    def still_full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(regenerate_module, "_end_with_newline", still_full)
    with pytest.raises(TrainError, match=r"r\.jsonl .*: free some disk"):
        regenerate(engine, prompts(6), path, DATA)
    monkeypatch.undo()
    assert regenerate(engine, prompts(6), path, DATA) == 6


def test_long_and_equal_prompts_are_left_out_and_the_number_is_bounded(engine, tmp_path: Path):
    some = [
        *prompts(3),
        Prompt("twin", "chat", None, [1, 5, 6]),
        Prompt("long", "chat", None, [5] * 99),
    ]
    data = replace(DATA, max_prompt_tokens=50)
    regenerate(engine, some, tmp_path / "a.jsonl", data)
    assert {r.id for r in read_responses(tmp_path / "a.jsonl")} == {"p0", "p1", "p2"}
    assert regenerate(engine, prompts(9), tmp_path / "b.jsonl", replace(DATA, max_responses=2)) == 2
    temperatures = {r.temperature for r in read_responses(tmp_path / "a.jsonl")}
    assert temperatures == {0.0, 0.8}
    assert (
        torch.tensor([len(r.token_ids) for r in read_responses(tmp_path / "a.jsonl")]).max() <= 12
    )
