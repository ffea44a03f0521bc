"""Ways out of a grammar: they lead out, and are about as short as an answer can be."""

from __future__ import annotations

import random
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer

from agentspark.engine.grammar.compiler import GrammarCompiler
from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.grammar.search import Search, Work
from agentspark.engine.grammar.ways import Ways
from benchmarks.random_schemas import random_schema
from tests.engine.grammar.shortest import shortest

FOUND = {"type": "integer", "maximum": 9}
LONG = {"type": "string", "format": "uuid"}
TREE = {"$ref": "#/$defs/tree"}
EVER = 1_000_000

Found = TypeVar("Found")


def found(work: Work[Found]) -> Found | None:
    search = Search(work)
    search.go_on(EVER)
    assert search.done
    return search.found


@pytest.fixture(scope="module")
def tables(compiler: GrammarCompiler) -> LLTokenizer:
    return compiler.tables.plain


@pytest.fixture(scope="module")
def ways(tables: LLTokenizer) -> Ways:
    return Ways(tables)


def start(tables: LLTokenizer, constraint: Constraint, said: str = "") -> LLMatcher:
    place = LLMatcher(tables, constraint.lark)
    assert place.consume_tokens(tables.tokenize_str(said))
    return place


def tree() -> Constraint:
    def kind(name: str, **members: Any) -> dict[str, Any]:
        properties = {"kind": {"const": name}, **members}
        return {"type": "object", "properties": properties, "required": list(properties)}

    kinds = [kind("node", left=TREE, right=TREE), kind("leaf", of=FOUND)]
    return Constraint.json_schema({"$defs": {"tree": {"anyOf": kinds}}, **TREE})


def record(required: list[str], **members: Any) -> Constraint:
    schema = {"type": "object", "properties": members, "required": required}
    return Constraint.json_schema(schema)


@pytest.mark.parametrize(
    ("constraint", "said", "rest"),
    [
        (record([], a=FOUND), "", "{}"),
        (record([], a=FOUND), '{"a', '": 0}'),
        (record(["z"], aa=LONG, ab=LONG, z=FOUND), "", '{"z": 0}'),
        (record(["az"], aa=LONG, ab=LONG, az=FOUND), "", '{"az": 0}'),
        (record(["a"], a={"anyOf": [LONG, {"type": "null"}]}), "", '{"a": null}'),
        (record(["a"], a={"enum": ["fahrenheit", "low", "lowest"]}), "", '{"a": "low"}'),
        (record(["a"], a={"type": "array", "items": FOUND}), "", '{"a": []}'),
        (record(["a"], a={"type": "string"}), '{"a": "} ]', '"}'),
        (record(["a"], a={"type": "string", "format": "email"}), "", '{"a": "a@a.aa"}'),
        (record(["b"], b={"anyOf": [{"$ref": "#"}, {"type": "null"}]}), "", '{"b": null}'),
        (tree(), "", '{"kind": "leaf", "of": 0}'),
        (
            tree(),
            '{"kind": "node", "left": {"kind": "le',
            'af", "of": 0}, "right": {"kind": "leaf", "of": 0}}',
        ),
        (Constraint.json_object(), '{"a": [{"b": [1', "]}]}"),
        (Constraint.choice(["nothing else", "no"]), "", "no"),
        (Constraint.regex(r"[a-z]+( [a-z]+){2,5}\."), "", "aaa aaa aaa."),
        (Constraint.regex("(ab)+c"), "", "abc"),
        (Constraint.regex("[0-9]+;"), "4", "1;"),
        (Constraint.regex(r"(<think>(?s:.*)</think>)?<tool>"), "", "<tool>"),
        (Constraint.regex(r"[0-9]+"), "4", ""),
    ],
)
def test_the_shortest_is_found(
    tables: LLTokenizer, ways: Ways, constraint: Constraint, said: str, rest: str
) -> None:
    place = start(tables, constraint, said)
    most = len(tables.tokenize_str(rest))
    way = found(ways.short(place, most))
    assert way is not None and len(way) <= most and ways.lead_out(place, way)
    assert not rest or found(ways.short(place, 0)) is None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000))
def test_of_random_schemas_within_two_tokens(tables: LLTokenizer, ways: Ways, seed: int) -> None:
    schema = random_schema(random.Random(seed))
    place = start(tables, Constraint.json_schema(schema))
    known = tables.tokenize_str(shortest(schema))
    assert ways.lead_out(place, known)
    way = found(ways.short(place, len(known) + 2))
    assert way is not None and ways.lead_out(place, way)


def test_what_leads_nowhere_is_given_up(tables: LLTokenizer, ways: Ways) -> None:
    place = start(tables, Constraint.regex("(?s:.*)the end of it"))
    assert found(ways.short(place, 1000)) is None


def test_a_known_way_is_joined(tables: LLTokenizer, ways: Ways) -> None:
    constraint = record(["b"], a=LONG, b={"type": "string", "minLength": 9})
    known = tables.tokenize_str('{"b": "abcdefghi"}')
    there = start(tables, constraint, "{")
    way, leads = found(ways.greedy(there, last=known[0], known=known)) or ([], False)
    assert leads and ways.lead_out(there, way)
