"""The demo agent and the example script, on the real model."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from agentspark.cli.code_reader import CodeReader
from agentspark.cli.main import run
from langchain_dspark import ChatDSpark

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "bank"
    folder.mkdir()
    (folder / "account.py").write_text(
        '"""Money that belongs to a customer."""\n\n\n'
        "class Account:\n"
        '    """What a customer has put into the bank."""\n\n'
        "    def withdraw(self, amount: int) -> None:\n"
        '        """Take money out; fails where there is not enough."""\n'
        "        self.balance -= amount\n"
    )
    (folder / "interest.py").write_text(
        "def interest(balance: int, rate: float) -> float:\n"
        '    """What the bank pays for a year."""\n'
        "    return balance * rate\n"
    )
    return folder


def test_the_demo_makes_at_least_ten_calls_on_our_own_sources() -> None:
    assert CodeReader(ChatDSpark(), ROOT / "agentspark", run="r").total >= 10


@pytest.mark.real
def test_the_demo_compares_both_arms(
    source: Path, tmp_path: Path, smollm2_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["demo", str(source), "--files", "1", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "# bank" in said
    assert "- `account.py`: " in said
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    kinds = [row["step_kind"] for row in found["steps"]]
    assert kinds == ["plan", "read", "ask", "report"]
    assert found["outputs_identical"] is True
    arms = found["arms"]
    assert arms["baseline"]["cached_tokens"] == arms["baseline"]["draft_tokens"] == 0
    assert arms["accelerated"]["cached_tokens"] > 0
    assert arms["accelerated"]["rounds"] < arms["baseline"]["rounds"]


@pytest.mark.real
def test_the_example_runs_as_a_script(
    source: Path,
    smollm2_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = ROOT / "examples" / "code_reader.py"
    monkeypatch.setattr(sys, "argv", [str(script), str(source), "--files", "1"])
    runpy.run_path(str(script), run_name="__main__")
    said = capsys.readouterr().out
    assert " 2. read account.py: " in said
    assert said.count("- `") == 1
