"""Conditions of schemas: what fits them, value by value, is what a validator lets through."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from agentspark.engine.grammar.compiler import GrammarCompiler
from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.grammar.reworded import reworded

NUMBER = {"type": "integer"}
TAGGED = {
    "type": "object",
    "properties": {"k": {"enum": ["x", "y", "z"]}, "m": NUMBER, "n": NUMBER},
}
SURE = {**TAGGED, "required": ["k"]}
N, M = {"required": ["n"]}, {"properties": {"m": {"const": 5}}, "required": ["m"]}
NO_N = {"properties": {"n": False}}
SET = {"type": "array", "uniqueItems": True}
NEVER = {"not": {}}


def tag(*values: str, needed: bool = True) -> dict[str, Any]:
    """A condition on ``k``."""
    named = {"const": values[0]} if len(values) == 1 else {"enum": list(values)}
    return {"properties": {"k": named}, **({"required": ["k"]} if needed else {})}


SCHEMAS: dict[str, dict[str, Any]] = {
    "then and else": {**SURE, "if": tag("x"), "then": N, "else": M},
    "without the tag": {**TAGGED, "if": tag("x", "y"), "then": N, "else": NO_N},
    "true without the tag": {**TAGGED, "if": tag("x", needed=False), "then": N, "else": M},
    "several": {
        **TAGGED,
        "if": tag("x"),
        "then": N,
        "allOf": [{"if": tag("y"), "then": M, "else": NO_N}, {"if": tag("z"), "then": NO_N}],
    },
    "never a value": {**SURE, "if": tag("x"), "then": False},
    "by a truth": {
        "type": "object",
        "properties": {"k": {"type": "boolean"}, "n": NUMBER},
        "required": ["k"],
        "if": {"properties": {"k": {"const": True}}},
        "then": N,
    },
    "needs one": {**TAGGED, "dependentRequired": {"n": ["m"]}},
    "needs several": {**TAGGED, "dependentRequired": {"n": ["m"], "k": ["n", "m"], "m": ["k"]}},
    "a set of names": {**SET, "items": {"enum": ["x", "y", 1]}, "title": "Set"},
    "a set of truths": {**SET, "items": {"type": "boolean"}, "minItems": 1},
    "a set of few": {**SET, "items": {"$ref": "#/$defs/k"}, "maxItems": 2, "$defs": {
        "k": {"enum": ["x", "y", "z", 5], "type": "string"}}},
    "a set of one": {**SET, "items": {"const": "x"}},
    "one item": {**SET, "items": NUMBER, "maxItems": 1},
    "what zod writes": {"anyOf": [{"anyOf": [NEVER, {"type": "string"}]}, {"type": "null"}]},
    "never there": {"type": "object", "properties": {"n": NUMBER, "m": NEVER}},
}  # fmt: skip


def values() -> Iterator[Any]:
    """Values that fit some of the schemas; objects have their properties in one order."""
    told = {"k": ["x", "y", "z", True, False], "m": [5, 6], "n": [5]}
    for names in itertools.chain.from_iterable(itertools.combinations(told, n) for n in range(4)):
        for chosen in itertools.product(*(told[name] for name in names)):
            yield dict(zip(names, chosen, strict=True))
    for count in range(4):
        yield from map(
            list, itertools.product(["x", "y", 1, 5, True, False][: 7 - count], repeat=count)
        )
    yield from ("x", None, 5)


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_exactly_what_validates_fits(compiler: GrammarCompiler, schema: dict[str, Any]) -> None:
    begun = compiler.state(Constraint.json_schema(schema, strict=True), 400)
    valid = jsonschema.Draft202012Validator(schema).is_valid
    own = schema.get("properties")
    fitting = 0
    for value in values():
        listed = own is None or not isinstance(value, dict) or value.keys() <= own.keys()
        tokens = compiler.tables.plain.tokenize_str(json.dumps(value))
        place = begun._matcher.deep_copy()
        fits = place.try_consume_tokens(tokens) == len(tokens) and place.is_accepting()
        assert fits == (listed and valid(value)), value
        fitting += fits
    assert fitting


def test_conditions_that_are_about_other_things_stay() -> None:
    for schema in (
        {**SURE, "if": N, "then": M},
        {**SURE, "if": {"properties": {"n": {"const": 5}}}, "then": M},
        {**SURE, "if": tag("x"), "then": N, "anyOf": [N, M]},
        {"properties": SURE["properties"], "if": tag("x"), "then": N},
        {**SURE, "if": tag("x"), "then": N, "allOf": [{"if": N, "then": M}]},
    ):
        assert reworded(schema) == schema
