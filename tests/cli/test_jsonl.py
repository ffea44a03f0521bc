"""Files are written whole or not at all."""

from __future__ import annotations

import json
import os

import pytest

from agentspark.cli.jsonl import LinesFile


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
    real = os.write
    with pytest.raises(OSError, match="No space"), LinesFile(path) as file:
        file.write({"n": 1})

        def full(descriptor, data):
            if len(data) > 4:
                return real(descriptor, data[:4])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        file.write({"n": 22222})
    assert file.partial.read_text() == '{"n": 1}\n'
    assert not path.exists()
