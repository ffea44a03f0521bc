"""The loop around the ``openai`` package, on the real model behind the real server."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from .conftest import Traced

SCRIPT = Path(__file__).parent.parent.parent / "examples" / "openai_tools.py"


def test_its_tools_read_any_file(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\xff\n" * 1000)
    example = runpy.run_path(str(SCRIPT))
    _, functions = example["tools_for"](tmp_path)
    assert functions["count_lines"](name="picture.png") == "picture.png has 2000 lines."
    assert len(functions["read_file"](name="picture.png")) == example["MOST_CHARACTERS"]


@pytest.mark.real
def test_it_calls_answers_and_leaves_a_trace_of_both_arms(
    traced: Traced,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def act(model: str) -> str:
        argv = ["x", str(folder), "--base-url", traced.url, "--model", model, "--calls", "2"]
        monkeypatch.setattr(sys, "argv", argv)
        runpy.run_path(str(SCRIPT), run_name="__main__")
        return capsys.readouterr().out

    fast, steps = traced.since(lambda: act("smollm2"))
    slow, plain = traced.since(lambda: act("smollm2:baseline"))
    assert fast.count("-> ") == slow.count("-> ") == 2
    assert fast.splitlines()[-1] == slow.splitlines()[-1] != ""
    assert [step["step"] for step in steps] == [step["step"] for step in plain] == [1, 2, 3]
    assert len({step["run"] for step in [*steps, *plain]}) == 1
    assert [step["arm"] for step in [*steps, *plain]] == ["accelerated"] * 3 + ["baseline"] * 3
    assert [step["output_hash"] for step in steps] == [step["output_hash"] for step in plain]
    assert all(step["cached_tokens"] > 0 for step in steps[1:])
    assert all(step["cached_tokens"] == 0 for step in plain)
    assert [step["finish_reason"] for step in steps[:2]] == ["tool_calls"] * 2
