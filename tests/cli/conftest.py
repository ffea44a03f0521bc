"""Runs the command in this process and shows what it said."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from agentspark.cli.main import run


@dataclass
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys):
    def call(*args):
        code = run([str(arg) for arg in args])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return call


@pytest.fixture
def jsonl(tmp_path):
    def write(name, *values):
        path = tmp_path / name
        path.write_text("".join(json.dumps(value) + "\n" for value in values))
        return path

    return write


@pytest.fixture
def read_jsonl():
    return lambda path: [json.loads(line) for line in path.read_text().splitlines()]
