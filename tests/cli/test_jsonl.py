"""Files are written whole or not at all."""

from __future__ import annotations

import json
import os

import pytest

from agentspark.cli.jsonl import LinesFile
from agentspark.errors import ConfigError


def test_lines_appear_under_the_final_name_only_when_all_are_there(tmp_path):
    path = tmp_path / "deep" / "out.jsonl"
    with LinesFile(path) as file:
        file.write({"text": "Straße"})
        assert not path.exists()
        assert json.loads(file.partial.read_text()) == {"text": "Straße"}
    assert json.loads(path.read_text()) == {"text": "Straße"}
    assert not file.partial.exists()


def test_after_an_interrupt_an_earlier_file_is_untouched_and_finished_lines_are_whole(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_text("earlier")
    with pytest.raises(KeyboardInterrupt), LinesFile(path) as file:
        file.write({"n": 1})
        raise KeyboardInterrupt
    assert path.read_text() == "earlier"
    assert json.loads(file.partial.read_text()) == {"n": 1}


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    path = tmp_path / "out.jsonl"
    told = r"out.jsonl cannot be written \(No space .* The lines finished so far are in .*partial"
    real = os.write
    with pytest.raises(ConfigError, match=told), LinesFile(path) as file:
        file.write({"n": 1})

        def full(descriptor, data):
            if len(data) > 4:
                return real(descriptor, data[:4])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        file.write({"n": 22222})
    assert file.partial.read_text() == '{"n": 1}\n'
    assert not path.exists()


def test_a_place_that_is_none_is_told_with_what_to_do(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "out.jsonl"
    with (
        pytest.raises(ConfigError, match=r"cannot be written .*: give another --out"),
        LinesFile(path),
    ):
        pass
