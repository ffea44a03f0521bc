"""What the README tells a reader to type works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentspark.engine.engine import Engine

from .adapters.serving import serving

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SERVER = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")

# Where the documents' server runs; the tests' one takes a free port.
ADDRESS = "http://127.0.0.1:8000"


def blocks(language: str, text: str = TEXT) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A server as ``agentspark serve smollm2`` makes it."""
    with serving(Engine.load("smollm2"), served_name=None) as served:
        yield served.url


@pytest.mark.real
@pytest.mark.parametrize(
    "code",
    [*blocks("python"), *blocks("python", SERVER)],
    ids=["langchain", "openai", "engine", "tools", "client"],
)
def test_python_blocks_run(
    code: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if ADDRESS in code:
        code = code.replace(ADDRESS, request.getfixturevalue("address"))
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
    used = set(
        re.findall(
            r"^agentspark (\w+)", "\n".join(blocks("sh") + blocks("sh", SERVER)), flags=re.MULTILINE
        )
    )
    assert used
    assert used <= known


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
