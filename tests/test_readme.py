"""What the README tells a reader to type works."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentspark.engine.engine import Engine
from agentspark.prompts.asked import CHAT_FIELDS, SAMPLING_FIELDS
from agentspark.prompts.lines import Place
from agentspark.prompts.prompt import parse_prompt
from agentspark.sampling.params import SamplingParams

from .adapters.serving import serving

ROOT = Path(__file__).parent.parent
DOCUMENTS = {
    path: path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
}
TEXT = DOCUMENTS[ROOT / "README.md"]
SERVER = DOCUMENTS[ROOT / "docs" / "server.md"]
FILES = DOCUMENTS[ROOT / "docs" / "files.md"]

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
    # A few tokens go all the ways that many go.
    code = code.replace("max_tokens=48", "max_tokens=12")
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
    shell = [block for text in DOCUMENTS.values() for block in blocks("sh", text)]
    used = set(re.findall(r"^agentspark (\w+)", "\n".join(shell), flags=re.MULTILINE))
    assert used
    assert used <= known


def test_links_lead_somewhere() -> None:
    for path, text in DOCUMENTS.items():
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_what_is_said_of_prompts_files_is_what_is_read() -> None:
    (example,) = blocks("json", FILES)
    prompt = parse_prompt(json.loads(example), Place(Path("prompts.jsonl"), 1))
    assert prompt.asked.over(SamplingParams()).max_tokens == 48
    for fields in (CHAT_FIELDS, SAMPLING_FIELDS):
        assert ", ".join(f"`{name}`" for name in fields) in FILES
