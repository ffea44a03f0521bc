"""The real default target behind a real server, with a trace."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine

from ..adapters.serving import serving


@dataclass
class Traced:
    """A server's address, and the steps it recorded."""

    url: str
    trace: Path

    def steps(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.trace.read_text().splitlines()]

    def since(self, act: Callable[[], Any]) -> tuple[Any, list[dict[str, Any]]]:
        """What ``act`` returns, and the steps it made."""
        before = len(self.steps())
        result = act()
        return result, self.steps()[before:]


@pytest.fixture(scope="session")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    trace = tmp_path_factory.mktemp("served") / "trace.jsonl"
    engine = Engine.load("smollm2", config=EngineConfig(kv_tokens=16384), trace=trace)
    with serving(engine, served_name="smollm2") as served:
        yield Traced(f"{served.url}/v1", trace)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bank"
    folder.mkdir()
    (folder / "account.py").write_text(
        'class Account:\n    """What a customer has put into the bank."""\n\n    balance: int = 0\n'
    )
    (folder / "interest.py").write_text(
        "def interest(balance: int, rate: float) -> float:\n"
        '    """What the bank pays for a year."""\n'
        "    return balance * rate\n"
    )
    return folder
