"""Anthropic's tool runner, on the real model behind the real server."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from .conftest import Traced

SCRIPT = Path(__file__).parent.parent.parent / "examples" / "anthropic_tools.py"


def test_its_tools_take_the_files_there_are(folder: Path) -> None:
    tools = runpy.run_path(str(SCRIPT))["tools_for"](folder)
    for tool in tools:
        named = tool.to_dict()["input_schema"]["properties"]["name"]
        assert named["enum"] == ["account.py", "interest.py"]
    assert tools[0].call({"name": "account.py"}) == "account.py has 4 lines."


@pytest.mark.real
def test_it_calls_answers_and_leaves_a_trace_of_both_arms(
    traced: Traced,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    address = traced.url.removesuffix("/v1")

    def act(model: str) -> str:
        argv = ["x", str(folder), "--base-url", address, "--model", model, "--calls", "2"]
        monkeypatch.setattr(sys, "argv", argv)
        runpy.run_path(str(SCRIPT), run_name="__main__")
        return capsys.readouterr().out

    fast, steps = traced.since(lambda: act("smollm2"))
    slow, plain = traced.since(lambda: act("smollm2:baseline"))
    assert fast.count("-> ") == slow.count("-> ") == 2
    assert fast.splitlines()[-1] == slow.splitlines()[-1] != ""
    assert [step["step"] for step in steps] == [step["step"] for step in plain] == [1, 2, 3]
    assert len({step["run"] for step in [*steps, *plain]}) == 1
    assert [step["output_hash"] for step in steps] == [step["output_hash"] for step in plain]
    assert all(step["cached_tokens"] > 0 for step in steps[1:])
    assert all(step["cached_tokens"] == 0 for step in plain)
