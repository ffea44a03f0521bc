"""A bench on the tiny target: every path of the measurements, none of the waiting."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentspark.config import EngineConfig
from benchmarks.bench import Bench, Settings

QUESTIONS = (
    ("first", "chat", "Read the first file and note what you found in it, then read the next."),
    (
        "second",
        "code",
        "def add(first, second): return first + second. What does add(2, 40) print?",
    ),
)


@pytest.fixture(scope="session")
def prompts_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    lines = (
        {"id": name, "kind": kind, "messages": [{"role": "user", "content": text}]}
        for name, kind, text in QUESTIONS
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture(scope="session")
def transcripts_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    messages = [{"role": "user", "content": "Read every file and note what you found in it."}]
    steps = [list(messages)]
    for number in range(1, 4):
        result = f"The cache keeps the keys and values of prefix {number}. " * 3
        messages += [
            {"role": "assistant", "content": f"Next is file {number}."},
            {"role": "tool", "content": result},
        ]
        steps.append(list(messages))
    path = tmp_path_factory.mktemp("transcripts") / "transcripts.jsonl"
    path.write_text(json.dumps({"id": "reader", "steps": steps}) + "\n")
    return path


@pytest.fixture(scope="session")
def settings(
    tiny_target_dir: Path,
    tiny_drafter_dir: Path,
    cost_cache: Path,
    prompts_file: Path,
    transcripts_file: Path,
) -> Settings:
    return Settings(
        model=tiny_target_dir,
        drafter=tiny_drafter_dir,
        prompts=prompts_file,
        transcripts=transcripts_file,
        max_tokens=6,
        config=EngineConfig(kv_tokens=8192, cache_dir=cost_cache),
    )


@pytest.fixture(scope="session")
def bench(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench(settings, tmp_path_factory.mktemp("trace") / "trace.jsonl") as made:
        yield made
