"""Files take their places whole, alone or together, or nothing changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentspark.files import remove_leftovers, whole_file, whole_files, write_json, write_text


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_new_files_come_in_as_what_is_stale_goes(tmp_path: Path):
    for name in ("a", "b", "about-a"):
        (tmp_path / name).write_text("old")
    stale = [tmp_path / "about-a", tmp_path / "absent"]
    with whole_files(tmp_path, stale) as folder:
        (folder / "a").write_text("new")
        (folder / "c").write_text("new")
        assert contents(tmp_path / folder.name) == {"a": "new", "c": "new"}
        assert (tmp_path / "a").read_text() == (tmp_path / "about-a").read_text() == "old"
    assert contents(tmp_path) == {"a": "new", "b": "old", "c": "new"}


def test_an_error_changes_nothing(tmp_path: Path):
    (tmp_path / "a").write_text("old")
    (tmp_path / "about-a").write_text("old")
    with (
        pytest.raises(OSError, match="No space"),
        whole_files(tmp_path, [tmp_path / "about-a"]) as f,
    ):
        (f / "a").write_text("half")
        raise OSError(28, "No space left on device")
    assert contents(tmp_path) == {"a": "old", "about-a": "old"}


def test_what_a_kill_left_is_taken_away(tmp_path: Path):
    left = tmp_path / ".writing-abcd"
    left.mkdir()
    (left / "a").write_text("half")
    with whole_files(tmp_path) as folder:
        (folder / "a").write_text("whole")
    assert contents(tmp_path) == {"a": "whole"}


def test_a_file_takes_its_place_in_a_folder_that_is_made(tmp_path: Path):
    write_json(tmp_path / "new" / "a.json", {"b": [1]})
    write_text(tmp_path / "new" / "a.txt", "é\n")
    assert json.loads((tmp_path / "new" / "a.json").read_text()) == {"b": [1]}
    assert (tmp_path / "new" / "a.txt").read_bytes() == "é\n".encode()
    assert sorted(contents(tmp_path / "new")) == ["a.json", "a.txt"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_stops_a_file_leaves_the_old_one_alone(tmp_path: Path, error: BaseException):
    (tmp_path / "a").write_text("old")
    with pytest.raises(type(error)), whole_file(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise error
    assert contents(tmp_path) == {"a": "old"}


def test_a_file_is_on_the_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "a").write_text("old")
    monkeypatch.setattr("agentspark.files.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_text(tmp_path / "a", "new")
    assert contents(tmp_path) == {"a": "old"}


def test_what_killed_writers_of_files_left_is_taken_away(tmp_path: Path):
    with whole_file(tmp_path / "a") as temporary:
        temporary.write_text("new")
        left = temporary.with_name(temporary.name.replace(".a.", ".b."))
        left.write_text("half")
    remove_leftovers(tmp_path)
    assert contents(tmp_path) == {"a": "new"}
