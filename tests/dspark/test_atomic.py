"""Files take their places together, or nothing changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentspark.dspark.atomic import replaced


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_new_files_come_in_as_what_is_stale_goes(tmp_path: Path):
    for name in ("a", "b", "about-a"):
        (tmp_path / name).write_text("old")
    stale = [tmp_path / "about-a", tmp_path / "absent"]
    with replaced(tmp_path, stale) as folder:
        (folder / "a").write_text("new")
        (folder / "c").write_text("new")
        assert contents(tmp_path / folder.name) == {"a": "new", "c": "new"}
        assert (tmp_path / "a").read_text() == (tmp_path / "about-a").read_text() == "old"
    assert contents(tmp_path) == {"a": "new", "b": "old", "c": "new"}


def test_an_error_changes_nothing(tmp_path: Path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "about-a").write_text("old")
    with pytest.raises(OSError, match="No space"), replaced(tmp_path, [tmp_path / "about-a"]) as f:
        (f / "a").write_text("half")
        raise OSError(28, "No space left on device")
    assert contents(tmp_path) == {"a": "old", "about-a": "old"}


def test_what_a_kill_left_is_taken_away(tmp_path: Path):
    left = tmp_path / ".writing-abcd"
    left.mkdir()
    (left / "a").write_text("half")
    with replaced(tmp_path) as folder:
        (folder / "a").write_text("whole")
    assert contents(tmp_path) == {"a": "whole"}
