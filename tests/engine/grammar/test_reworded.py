"""What a schema says in words that the grammar does not know, said in others."""

from __future__ import annotations

import enum
import json
from typing import Annotated, Any, Literal

import jsonschema
import numpy as np
import pytest
from pydantic import BaseModel, Field

from agentspark.engine.grammar.compiler import GrammarCompiler
from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.grammar.reworded import reworded
from agentspark.errors import InvalidRequestError
from agentspark.sampling import bits

ONE, TWO = {"const": 1}, {"const": 2}
NEED_B = {"properties": {"b": ONE}, "required": ["b"]}
NEED_C = {"properties": {"c": ONE}, "required": ["c"]}
DOG = {"type": "object", "properties": {"kind": {"const": "dog"}, "d": ONE}, "required": ["kind"]}
CAT = {"type": "object", "properties": {"kind": {"const": "cat"}, "c": ONE}, "required": ["kind"]}
BASE = {"type": "object", "properties": {"a": ONE}, "required": ["a"]}
BOTH = {"type": "object", "properties": {"b": ONE, "c": TWO}}
COUNTED: dict[str, dict[str, Any]] = {
    "one property of two": {**BOTH, "oneOf": [{"required": ["b"]}, {"required": ["c"]}]},
    "beside properties": {**BASE, "oneOf": [NEED_B, NEED_C]},
    "by a tag": {**BASE, "oneOf": [DOG, CAT]},
    "by a tag of the whole": {
        "type": "object",
        "properties": {"kind": {"enum": ["dog", "cat"]}},
        "required": ["kind"],
        "oneOf": [
            {"properties": {"kind": {"const": "dog"}}},
            {"properties": {"kind": {"const": "cat"}}},
        ],
    },
    "references": {
        **BASE,
        "oneOf": [{"$ref": "#/$defs/dog"}, {"$ref": "#/$defs/b"}],
        "$defs": {"dog": DOG, "b": {"type": "object", **NEED_B}},
    },
    "in a part": {"type": "array", "items": {**BASE, "oneOf": [NEED_B, NEED_C]}, "minItems": 1},
}


def spoken(compiler: GrammarCompiler, constraint: Constraint, seed: int) -> Any:
    """What random tokens say under ``constraint``."""
    rng, state = np.random.default_rng(seed), compiler.state(constraint, 120)
    said: list[int] = []
    while not state.complete:
        allowed = np.flatnonzero(bits.allowed(state.rows(), 512)[0])
        said += state.advance([int(rng.choice(allowed))])
    return json.loads(str(compiler.tables.plain.decode_str([t for t in said if t != 2])))


@pytest.mark.parametrize("schema", COUNTED.values(), ids=COUNTED)
def test_exactly_one_of_several_holds(compiler: GrammarCompiler, schema: dict[str, Any]) -> None:
    constraint = Constraint.json_schema(schema, strict=True)
    told = [spoken(compiler, constraint, seed) for seed in range(8)]
    for value in told:
        jsonschema.validate(value, schema)
    assert len({json.dumps(value) for value in told}) > 1


@pytest.mark.parametrize(
    "schema",
    [
        {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        {"properties": {"a": ONE}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {**BASE, "oneOf": [NEED_B, {"properties": {"c": ONE}}]},
        {**BASE, "oneOf": [NEED_B, {"required": ["a"]}]},
        {**BOTH, "anyOf": [NEED_B, BASE], "oneOf": [NEED_B, NEED_C]},
    ],
    ids=range(5),
)
def test_what_may_hold_twice_stays_and_is_refused(
    compiler: GrammarCompiler, schema: dict[str, Any]
) -> None:
    assert reworded(schema) == schema
    with pytest.raises(InvalidRequestError, match="oneOf"):
        compiler.state(Constraint.json_schema(schema, strict=True), 120)


SAYS_NOTHING = [
    {"propertyNames": {"type": "string"}},
    {"uniqueItems": False},
    {"not": False},
    {"if": {"required": ["a"]}},
    {"then": {"required": ["b"]}},
    {"dependentRequired": {}},
    {"unevaluatedProperties": True},
    {"format": "file-path"},
]


@pytest.mark.parametrize("words", SAYS_NOTHING, ids=str)
def test_words_that_say_nothing_are_left_out(words: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    assert reworded({**schema, **words}) == schema
    part = {"type": "string"}
    deep = {"$defs": {"y": {"items": [{"anyOf": [{**part, **words}, part]}]}}}
    assert reworded(deep) == {"$defs": {"y": {"items": [{"anyOf": [part, part]}]}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {name: True for name in ("format", "not", "if", "uniqueItems")}},
        {"enum": [{"uniqueItems": False}], "default": {"not": False}},
        {"uniqueItems": True},
        {"type": "array", "uniqueItems": True, "items": {"type": "string"}},
        {"type": "array", "uniqueItems": True, "items": {"enum": [1, 1.0]}},
        {"type": "array", "uniqueItems": True, "items": {"enum": list("abcdefg")}},
        {"type": "string", "not": {"const": "x"}},
        {"type": "object", "dependentRequired": {name: ["x"] for name in "abcde"}},
        {"format": "regex"},
        {"if": True, "then": False},
        {"propertyNames": {"pattern": "^a"}},
        {"oneOf": 5, "items": 5, "properties": []},
    ],
    ids=range(12),
)
def test_words_that_say_something_stay(schema: dict[str, Any]) -> None:
    assert reworded(schema) == schema


class Colour(enum.Enum):
    """Names that are a reference in a schema."""

    RED = "red"
    BLUE = "blue"


class Named(BaseModel):
    """Mappings whose keys are told."""

    listed: dict[Literal["a", "b"], Literal[1, 2]]
    colours: dict[Colour, bool] = Field(min_length=1)
    short: dict[Annotated[str, Field(min_length=1, max_length=2)], bool] = Field(max_length=2)


def test_names_of_properties_are_those_that_are_told(compiler: GrammarCompiler) -> None:
    schema = Named.model_json_schema()
    assert "propertyNames" in json.dumps(schema)
    constraint = Constraint.json_schema(schema, strict=True)
    told = [Named.model_validate(spoken(compiler, constraint, seed)) for seed in range(6)]
    assert len({len(value.listed) for value in told}) > 1
    assert any(value.short for value in told)


@pytest.mark.parametrize(
    "names",
    [{"enum": [1]}, {"enum": ["a"], "pattern": "b"}, {"type": "integer"}, {"format": "uri"}],
)
def test_names_that_are_told_otherwise_stay_and_are_refused(
    compiler: GrammarCompiler, names: dict[str, Any]
) -> None:
    schema = {"type": "object", "propertyNames": names, "additionalProperties": True}
    assert reworded(schema) == schema
    with pytest.raises(InvalidRequestError, match="propertyNames"):
        compiler.state(Constraint.json_schema(schema, strict=True), 120)
