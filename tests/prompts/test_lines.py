"""Lines are read with their places, from plain and from gzipped files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from agentspark.errors import DataError
from agentspark.prompts.lines import Place, read_objects


def write(path, *lines):
    path.write_text(
        "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    )
    return path


def test_blank_lines_are_skipped_and_counted(tmp_path):
    path = write(tmp_path / "a.jsonl", {"a": 1}, "", {"a": 2})
    assert list(read_objects(path)) == [
        (Place(path, 1), {"a": 1}), (Place(path, 3), {"a": 2})
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line", ["{", "[1]", '"text"', "nonsense", "[" * 50_000, '{"a": 1' + "0" * 5000 + "}"]
)
def test_a_wrong_line_is_named(tmp_path, line):
    path = write(tmp_path / "a.jsonl", {"a": 1}, line)
    with pytest.raises(DataError, match=r"a\.jsonl line 2"):
        list(read_objects(path))


def test_a_missing_file_and_bytes_that_are_no_text_are_data_errors(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        list(read_objects(tmp_path / "none.jsonl"))
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe{}")
    with pytest.raises(DataError, match="UTF-8"):
        list(read_objects(tmp_path / "b.jsonl"))


def test_a_gzipped_file_and_one_with_a_byte_order_mark_read_the_same(tmp_path):
    text = b'{"a": 1}\n{"a": 2}\n'
    for name, held in (("a.jsonl.gz", gzip.compress(text)), ("b.jsonl", b"\xef\xbb\xbf" + text)):
        (tmp_path / name).write_bytes(held)
        assert [value["a"] for _, value in read_objects(tmp_path / name)] == [1, 2]
    (tmp_path / "a.jsonl.gz").write_bytes(text)
    with pytest.raises(DataError, match=r"a\.jsonl\.gz cannot be read"):
        list(read_objects(tmp_path / "a.jsonl.gz"))


def test_a_place_has_a_name_without_the_folder():
    place = Place(Path("folder/a.jsonl"), 3)
    assert (str(place), place.short) == ("folder/a.jsonl line 3", "a.jsonl line 3")
