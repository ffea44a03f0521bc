"""What an agent is shown of a folder, and that it is bounded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentspark.cli.sources import SourceFile, choose, excerpt, listing, main_name, read_folder
from agentspark.errors import DataError


def make(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_only_source_files_with_something_in_them_are_read(tmp_path):
    make(
        tmp_path,
        a_dot_py="x = 1\n",
        b_dot_txt="text",
        empty_dot_py="\n\n",
        _dot_hidden__c_dot_py="x = 1",
        node_modules__d_dot_js="x",
        inner__e_dot_rs="fn main() {}\n",
    )
    (tmp_path / "link.py").symlink_to(tmp_path / "a.py")
    assert [file.path for file in read_folder(tmp_path)] == ["a.py", "inner/e.rs"]


def test_a_folder_without_sources_and_no_folder_are_errors(tmp_path):
    with pytest.raises(DataError, match="no source files"):
        read_folder(tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        read_folder(tmp_path / "none")


def test_bytes_that_are_no_text_do_not_stop_the_agent(tmp_path):
    (tmp_path / "a.py").write_bytes(b"x = '\xff'\n")
    assert read_folder(tmp_path)[0].lines == ["x = '\N{REPLACEMENT CHARACTER}'"]


def test_the_longest_file_of_each_folder_comes_first_and_large_folders_before_small_ones():
    files = [
        SourceFile("a/long.py", ["x"] * 9),
        SourceFile("a/longer.py", ["x"] * 10),
        SourceFile("b/short.py", ["x"]),
        SourceFile("c.py", ["x"] * 2),
    ]
    assert [f.path for f in choose(files, 3)] == ["a/longer.py", "c.py", "b/short.py"]
    assert [f.path for f in choose(files, 9)][3:] == ["a/long.py"]


def test_an_excerpt_leaves_out_imports_and_empty_lines():
    lines = ["import a", "", "from b import (", "    c,", "    d,", ")", "", "x = 1"]
    assert excerpt(SourceFile("a.py", lines), len, 100) == "x = 1"
    rust = ["use std::fs;", "", "fn main() {}"]
    assert excerpt(SourceFile("a.rs", rust), len, 100) == "fn main() {}"


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (["def helper():", "class Main:"], "Main"),
        (["    async def run(self):"], "run"),
        (["pub struct Pool {", "pub fn new()"], "Pool"),
        (["export function go() {"], "go"),
        (["x = 1", "definition = 2"], None),
    ],
)
def test_the_main_thing_of_a_file_is_its_first_type_else_its_first_function(lines, name):
    assert main_name(SourceFile("a", lines)) == name


@given(
    lines=st.lists(st.text("xyz ()", min_size=1, max_size=20).filter(str.strip), max_size=30),
    limit=st.integers(30, 200),
)
def test_an_excerpt_is_a_start_of_the_file_within_its_limit(lines, limit):
    shown = excerpt(SourceFile("a.py", lines), len, limit)
    assert len(shown) <= limit
    if shown == "\n".join(lines):
        return
    *kept, last = shown.split("\n")
    assert kept == lines[: len(kept)]
    assert last == f"... {len(lines) - len(kept)} more lines"


def test_a_listing_says_what_it_leaves_out():
    files = [SourceFile(f"file{number}.py", ["x"]) for number in range(100)]
    shown = listing(files, len, 100)
    assert shown.startswith("file0.py (1 lines)\n")
    assert shown.endswith("more files")
