"""What the README tells a reader to type works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.real
@pytest.mark.parametrize("code", blocks("python"), ids=["langchain", "engine", "tools"])
def test_python_blocks_run(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "__main__"})
    said = capsys.readouterr().out
    assert said.strip()
    if "baseline.token_ids" in code:
        assert said.strip().endswith("True")


def test_shell_blocks_name_commands_that_exist() -> None:
    from agentspark.cli.app import app

    known = {
        command.name or getattr(command.callback, "__name__", "")
        for command in app.registered_commands
    }
    used = set(re.findall(r"^agentspark (\w+)", "\n".join(blocks("sh")), flags=re.MULTILINE))
    assert used
    assert used <= known


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
