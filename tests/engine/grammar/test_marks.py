"""Tokens that lead out of a grammar, in the order in which they are tried."""

from __future__ import annotations

from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer

from agentspark.engine.grammar.compiler import GrammarCompiler
from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.grammar.marks import Marks


@pytest.fixture(scope="module")
def tables(compiler: GrammarCompiler) -> LLTokenizer:
    return compiler.tables.plain


@pytest.fixture(scope="module")
def marks(tables: LLTokenizer) -> Marks:
    return Marks(tables)


def start(tables: LLTokenizer, constraint: Constraint) -> LLMatcher:
    return LLMatcher(tables, constraint.lark)


@pytest.mark.parametrize(
    ("instead", "begins"),
    [
        ({"type": "null"}, b"n"),
        ({"type": "boolean"}, b"t"),
        ({"type": "integer", "minimum": 0}, b"0"),
        ({"type": "string"}, b'"'),
    ],
)
def test_what_ends_comes_before_what_holds_the_same_again(
    tables: LLTokenizer, marks: Marks, instead: dict[str, Any], begins: bytes
) -> None:
    again = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    place = start(tables, Constraint.json_schema({"anyOf": [again, instead]}))
    token, _ = marks.nearest(place, 0)
    assert tables.decode_bytes(token).startswith(begins)


def test_a_fork_met_again_is_left_another_way(tables: LLTokenizer, marks: Marks) -> None:
    place = start(tables, Constraint.choice(["red", "yes", "or"]))
    met: dict[bytes, int] = {}
    found = [tables.decode_bytes(marks.nearest(place, 0, met)[0])[:1] for _ in range(4)]
    assert sorted(found[:3]) == [b"o", b"r", b"y"] and found[3] == found[2]


def test_a_fork_has_the_bytes_that_part(tables: LLTokenizer, marks: Marks) -> None:
    place = start(tables, Constraint.choice(["red", "yes", "or"]))
    forks = marks.fork(place)
    assert sorted(byte for byte, _ in forks) == [b"o", b"r", b"y"]
    assert all(tables.decode_bytes([token]) == byte for byte, token in forks)
    digits = marks.fork(start(tables, Constraint.regex("[0-9]+")))
    assert [byte for byte, _ in digits] == [b"0"]
