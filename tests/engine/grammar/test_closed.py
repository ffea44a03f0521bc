"""Which objects of a schema take no others than the properties they list, and which must."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import numpy as np
import pytest
from pydantic import BaseModel

from agentspark.engine.grammar.closed import closed
from agentspark.engine.grammar.compiler import GrammarCompiler
from agentspark.engine.grammar.constraint import Constraint
from agentspark.sampling import bits

A, B = {"a": {"type": "integer"}}, {"b": {"type": "integer"}}
BASE = {"type": "object", "properties": A, "required": ["a"]}
FULL: dict[str, Any] = {"type": "object", "properties": B, "required": ["b"]}
REF = {"$ref": "#/$defs/base"}
COMBINED: dict[str, dict[str, Any]] = {
    "allOf of a reference": {"allOf": [REF, FULL], "$defs": {"base": BASE}},
    "a reference beside properties": {**REF, **FULL, "$defs": {"base": BASE}},
    "a reference to one of these": {
        "allOf": [{"$ref": "#/$defs/alias"}, FULL],
        "$defs": {"alias": REF, "base": BASE},
    },
    "a reference into properties": {
        "type": "object",
        "properties": {"x": BASE, "y": {"allOf": [{"$ref": "#/properties/x"}, FULL]}},
        "required": ["y"],
    },
    "anyOf beside properties": {
        **BASE,
        "anyOf": [{"properties": B, "required": ["b"]}, {"properties": B, "required": ["b"]}],
    },
    "anyOf beside allOf": {"allOf": [BASE], "anyOf": [FULL]},
    "a part that two speak of": {
        "properties": {"x": BASE},
        "allOf": [{"properties": {"x": FULL}}],
        "required": ["x"],
    },
    "anyOf that requires more": {**BASE, "anyOf": [{"required": ["b"]}, {"required": ["c"]}]},
    "more than are listed": {**BASE, "minProperties": 2},
}


def spoken(compiler: GrammarCompiler, constraint: Constraint, seed: int) -> Any:
    """What random tokens, closing ones rather than others, say under ``constraint``."""
    rng, limit = np.random.default_rng(seed), 80
    state = compiler.state(constraint, limit)
    said: list[int] = []
    while len(said) < limit and not state.complete:
        allowed = np.flatnonzero(bits.allowed(state.rows(), 512)[0])
        said += state.advance([int(rng.choice(allowed))])
    return json.loads(str(compiler.tables.plain.decode_str([t for t in said if t != 2])))


@pytest.mark.parametrize("schema", COMBINED.values(), ids=COMBINED)
@pytest.mark.parametrize("strict", [None, False])
def test_an_object_put_together_of_several_schemas_stays_open(
    compiler: GrammarCompiler, schema: dict[str, Any], strict: bool | None
) -> None:
    constraint = Constraint.json_schema(schema, strict=strict)
    for seed in range(4):
        jsonschema.validate(spoken(compiler, constraint, seed), schema)


def test_a_derived_property_that_may_be_left_out_does_occur() -> None:
    optional = {"allOf": [REF, {"properties": B}], "$defs": {"base": BASE}}
    beside = {**BASE, "anyOf": [{"properties": B}, {"properties": {"c": {}}}]}
    for schema in (optional, beside):
        assert closed(schema) == schema


class Leaf(BaseModel):
    """A part."""

    name: str
    next: Leaf | None = None


class Tree(BaseModel):
    """Everything that a model usually has."""

    leaf: Leaf
    leaves: list[Leaf]
    named: dict[str, Leaf]
    maybe: Leaf | None = None
    either: Leaf | int = 3


@pytest.mark.parametrize(
    ("schema", "objects"),
    [
        (Tree.model_json_schema(), 2),
        ({"anyOf": [BASE, FULL]}, 2),
        ({"type": "object", "oneOf": [BASE, FULL]}, 2),
        ({"allOf": [REF], "default": {}, "$defs": {"base": BASE}}, 1),
        ({**REF, "description": "annotations say nothing", "$defs": {"base": BASE}}, 1),
        ({**BASE, "anyOf": [{"required": ["a"]}, {"properties": {"a": {"const": 1}}}]}, 1),
        ({"properties": {"x": BASE}, "anyOf": [{"required": ["x"]}, {"required": []}]}, 2),
        ({**BASE, "minProperties": 1}, 1),
        ({"allOf": [REF, FULL], "$defs": {"base": BASE, "other": BASE}}, 1),
    ],
)
def test_other_objects_are_closed(schema: dict[str, Any], objects: int) -> None:
    assert json.dumps(closed(schema)).count('"additionalProperties": false') == objects


def test_where_the_closed_schema_cannot_be_compiled_the_open_one_is_used(
    compiler: GrammarCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = {"type": "object", "properties": A, "required": ["a", "b"]}
    shut = {**schema, "additionalProperties": False}
    monkeypatch.setattr("agentspark.engine.grammar.schema.closed", lambda given: shut)
    assert {"a", "b"} <= set(spoken(compiler, Constraint.json_schema(schema), 0))
