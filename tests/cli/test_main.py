"""Exit codes, messages, and what the command loads."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from agentspark import __version__
from agentspark.cli import main as module
from agentspark.cli.main import run, split_debug


def test_version_and_help(cli):
    assert cli("--version").out.strip() == f"agentspark {__version__}"
    said = cli("--help")
    assert said.code == 0
    assert cli("-h").out == said.out
    assert cli("compare", "-h").code == 0
    for name in ("demo", "chat", "generate", "replay", "compare", "train", "pull"):
        assert f" {name} " in said.out


def test_brackets_in_a_help_text_are_no_style(cli):
    assert '"steps": [[messages],' in cli("replay", "--help").out


@pytest.mark.parametrize(
    "args",
    [
        ("nonsense",),
        ("generate",),
        ("generate", "--prompts", "a", "--out", "b", "--share-prefix", "maybe"),
        ("generate", "--prompts", "a", "--out", "b", "--concurrency", "0"),
        ("generate", "--prompts", "a", "--out", "b", "--verify", "half"),
        ("replay", "a", "--out", "b", "--arms", "baseline,other"),
        ("replay", "a", "--out", "b", "--arms", "baseline,baseline"),
        ("compare",),
        ("compare", "--"),
        ("compare", "a", "b", "c"),
        ("compare", "a", "--", "true"),
        ("compare", "python3", "my_agent.py"),
        ("compare", "my_agent.py"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_no_traceback(cli, args):
    said = cli(*args)
    assert said.code == 2
    assert "Traceback" not in said.err
    assert said.err.strip()


def test_an_error_is_one_line_and_a_traceback_only_with_debug(cli, tmp_path):
    args = ("generate", "--prompts", tmp_path / "none.jsonl", "--out", tmp_path / "out.jsonl")
    said = cli(*args)
    assert said.code == 1
    assert said.err.startswith("error: ")
    assert "none.jsonl cannot be read" in said.err
    assert len(said.err.strip().splitlines()) == 1
    said = cli(*args, "--debug")
    assert said.code == 1
    assert "Traceback" in said.err


def test_a_full_disk_and_a_bug_are_told_apart(cli, tmp_path, monkeypatch):
    import agentspark.prompts.files as prompts

    def full(path):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(prompts, "read_prompts", full)
    args = ("generate", "--prompts", "p", "--out", tmp_path / "o")
    assert "No space left on device (p)" in cli(*args).err
    monkeypatch.setattr(prompts, "read_prompts", lambda path: {}["missing"])
    said = cli(*args)
    assert said.code == 1
    assert "unexpected KeyError" in said.err
    assert "--debug" in said.err


def test_ctrl_c_is_exit_code_130_without_a_traceback(cli, tmp_path, monkeypatch):
    import agentspark.prompts.files as prompts

    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(prompts, "read_prompts", interrupt)
    said = cli("generate", "--prompts", "p", "--out", tmp_path / "o")
    assert said.code == 130
    assert "Traceback" not in said.err


def test_debug_may_stand_anywhere_before_the_command_to_run():
    assert split_debug(["a", "--debug", "b"]) == (["a", "b"], True)
    assert split_debug(["a", "--", "b", "--debug"]) == (["a", "--", "b", "--debug"], False)


def test_help_and_usage_errors_load_no_torch():
    code = (
        "import sys\n"
        "from agentspark.cli.main import run\n"
        "run(['--help']), run(['generate', '--help']), run(['nonsense'])\n"
        "print(sorted({'torch', 'transformers', 'langchain_core'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_every_outcome_is_an_exit_code(monkeypatch, capsys):
    import agentspark.cli.app as app

    def ends_with(error):
        def stand_in(args, prog_name):
            raise error

        monkeypatch.setattr(app, "app", stand_in)
        return module.run([])

    assert ends_with(SystemExit(3)) == 3
    assert ends_with(SystemExit()) == 0
    assert ends_with(SystemExit("text")) == 1
    assert ends_with(KeyboardInterrupt()) == 130
    assert ends_with(ValueError("x")) == 1
    assert "unexpected ValueError: x" in capsys.readouterr().err


def test_what_the_output_cannot_show_ends_nothing(monkeypatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    monkeypatch.setattr("agentspark.cli.app.app", lambda *_, **__: print("2.00×", flush=True))  # noqa: RUF001
    assert run([]) == 0
    assert shown.getvalue().split() == [b"2.00?"]
