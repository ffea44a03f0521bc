"""A comparison has its folder to itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentspark.cli.folder import fresh_folder, own_folder
from agentspark.errors import TraceWriteError


def test_comparisons_of_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with own_folder(None, "compare") as one, own_folder(None, "compare") as other:
        assert one != other
        assert one.parent == other.parent == Path("traces/compare")

    folders = [fresh_folder(tmp_path / "new" / "now").name for _ in range(3)]
    assert folders == ["now", "now-2", "now-3"]


def test_a_folder_in_use_is_refused_and_free_afterwards(tmp_path):
    out = tmp_path / "out"
    with own_folder(out, "compare"):
        with (
            pytest.raises(TraceWriteError, match=r"Another comparison is writing to .*another --o"),
            own_folder(out, "compare"),
        ):
            pass
        (out / "report.json").write_text("{}")
    with own_folder(out, "compare") as again:
        assert again == out
    assert [path.name for path in out.iterdir()] == ["report.json"]


def test_a_killed_comparison_holds_nothing(tmp_path):
    code = (
        "import os, pathlib, sys\n"
        "from agentspark.cli.folder import own_folder\n"
        "with own_folder(pathlib.Path(sys.argv[1]), 'compare'): os._exit(9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = [sys.executable, "-c", code, str(tmp_path / "out")]
    assert subprocess.run(run, env=environment, check=False).returncode == 9

    with own_folder(tmp_path / "out", "compare") as folder:
        assert (folder / ".lock").exists()


def test_a_folder_made_for_nothing_goes_and_one_of_the_users_stays(tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("mine", "new"):
        with own_folder(tmp_path / name, "compare"):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(TraceWriteError, match=r"cannot be written to: .*another --out"),
        own_folder(tmp_path / "file", "compare"),
    ):
        pass


@pytest.mark.parametrize("command", ["compare", "replay", "demo"])
def test_every_comparing_command_asks_for_its_folder(cli, tmp_path, jsonl, command):
    user = {"role": "user", "content": "Hi."}
    args = {
        "compare": ["compare", "none.jsonl"],
        "replay": ["replay", jsonl("t.jsonl", {"id": "a", "steps": [[user]]}), "--model", "none"],
        "demo": ["demo", tmp_path, "--model", "none"],
    }
    out = tmp_path / "out"
    with own_folder(out, "compare"):
        said = cli(*args[command], "--out", out)

    assert said.code == 1
    assert f"Another comparison is writing to {out}" in said.err
