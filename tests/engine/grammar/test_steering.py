"""What a request says in few tokens: it ends in time, and is left alone where there are many."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentspark.engine.grammar.answers import AnswerGrammar, Callable
from agentspark.engine.grammar.closing import Closing
from agentspark.engine.grammar.compiler import GrammarCompiler
from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.grammar.schema import schema_text
from agentspark.engine.grammar.search import Search
from agentspark.engine.grammar.state import GrammarState
from agentspark.models.tools.formats import HERMES, MISTRAL
from agentspark.models.tools.reasoning import ReasoningFormat
from agentspark.sampling import bits
from benchmarks.random_schemas import random_schema, random_tools
from tests.engine.grammar.shortest import shortest

VOCAB, END = 512, 2
# Steps of one token, with some for the last bit, and of all of a request that has no way out.
SLICE, ALL = 2_500, 40_000
THINK = ReasoningFormat("<think>", "</think>")
CHECKED = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Talker:
    """Wants random tokens that the grammar allows; ``opening`` ones rather than others."""

    def __init__(self, compiler: GrammarCompiler, seed: int, opening: bool) -> None:
        self._rng = np.random.default_rng(seed)
        tables = compiler.tables.plain
        marks = [any(m in tables.decode_bytes([t]) for m in b'"{[,') for t in range(VOCAB)]
        self._weights = 1.0 + 20.0 * opening * np.array(marks)
        self._weights[END] = 0.05

    def wants(self, state: GrammarState, drafts: list[int]) -> int:
        weights = self._weights * bits.allowed(state.rows(drafts), VOCAB)[-1]
        return int(self._rng.choice(VOCAB, p=weights / weights.sum()))

    def talk(self, state: GrammarState, limit: int) -> list[int]:
        said: list[int] = []
        while len(said) < limit and not state.complete:
            said += state.advance([self.wants(state, [])])
        assert state.failure is None
        return said


def text(compiler: GrammarCompiler, said: list[int]) -> str:
    return str(compiler.tables.plain.decode_str([t for t in said if t != END]))


def needed(compiler: GrammarCompiler, schema: dict[str, Any]) -> int:
    """Tokens in which an answer fits; a way out is found up to two tokens late."""
    return len(compiler.tables.plain.tokenize_str(shortest(schema))) + 2


@CHECKED
@given(seed=st.integers(0, 10_000), spare=st.integers(0, 80), opening=st.booleans())
def test_an_answer_fits_however_few_tokens_there_are(
    compiler: GrammarCompiler, seed: int, spare: int, opening: bool
) -> None:
    schema = random_schema(random.Random(seed))
    compiler.state(Constraint.json_schema(schema), 1)
    limit = needed(compiler, schema) + spare
    state = compiler.state(Constraint.json_schema(schema), limit)
    said = Talker(compiler, seed, opening).talk(state, limit)
    jsonschema.validate(json.loads(text(compiler, said)), schema)


@CHECKED
@given(
    seed=st.integers(0, 10_000),
    limit=st.integers(250, 300),
    required=st.booleans(),
    beginning=st.sampled_from(["inside", "optional"]),
    form=st.sampled_from([HERMES, MISTRAL]),
)
def test_thoughts_and_calls_end_too(
    compiler: GrammarCompiler, seed: int, limit: int, required: bool, beginning: Any, form: Any
) -> None:
    tools = [
        Callable(made["name"], schema_text(made["parameters"], strict=None, param="tools"))
        for made in (tool["function"] for tool in random_tools(random.Random(seed)))
    ]
    grammar = AnswerGrammar({}, THINK, beginning)
    wanted = grammar.calls(tools, form, required=required, parallel=True, instead=None)
    state = compiler.state(wanted, limit)
    said = Talker(compiler, seed, False).talk(state, limit)
    assert state.complete or state.accepting, text(compiler, said)


def compare_with_drafts(
    compiler: GrammarCompiler, constraint: Constraint, limit: int, seed: int, sizes: list[int]
) -> None:
    """Commit drafts of ``sizes`` at once and one by one: the same must be said."""
    at_once, one_by_one = compiler.state(constraint, limit), compiler.state(constraint, limit)
    talker = Talker(compiler, seed, True)
    left, rounds = limit, 0
    while left > 0 and not at_once.complete:
        drafts: list[int] = []
        while len(drafts) < min(sizes[rounds % len(sizes)], left):
            if drafts and at_once.allows([*drafts, END]) > len(drafts):
                break
            drafts.append(talker.wants(at_once, drafts))
        said = at_once.advance(drafts)
        again = [token for draft in drafts[: len(said)] for token in one_by_one.advance([draft])]
        assert again == said
        left, rounds = left - len(said), rounds + 1
    assert at_once.complete == one_by_one.complete
    assert at_once.narrowed == one_by_one.narrowed


@CHECKED
@given(
    seed=st.integers(0, 10_000),
    spare=st.integers(0, 60),
    sizes=st.lists(st.integers(1, 8), min_size=1, max_size=5),
)
def test_drafts_change_nothing(
    compiler: GrammarCompiler, seed: int, spare: int, sizes: list[int]
) -> None:
    schema = random_schema(random.Random(seed))
    limit = needed(compiler, schema) + spare
    compare_with_drafts(compiler, Constraint.json_schema(schema), limit, seed, sizes)


@pytest.mark.parametrize("spare", [-200, 20, 60])
def test_drafts_change_nothing_in_a_long_search(compiler: GrammarCompiler, spare: int) -> None:
    items = {"anyOf": [{"enum": ["alpha", "beta"]}, {"type": "array", "items": {"const": 1}}]}
    schema = {"type": "array", "items": items, "minItems": 150}
    limit = needed(compiler, schema | {"items": {"const": []}}) + spare
    compare_with_drafts(compiler, Constraint.json_schema(schema), limit, 1, [7, 1, 4])


def test_only_what_gave_way_makes_it_narrowed(compiler: GrammarCompiler) -> None:
    constraint = Constraint.choice(["no", "nothing else"])
    tables = compiler.tables.plain
    for wanted, cut in (("no", False), ("nothing else", True)):
        state = compiler.state(constraint, 3)
        said = state.advance(tables.tokenize_str(wanted))
        assert (text(compiler, said), state.accepting, state.narrowed) == ("no", True, cut)


def test_far_from_the_limit_nobody_looks(
    compiler: GrammarCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def counted(*arguments: Any, **more: Any) -> Any:
        looks.append(1)
        return way(*arguments, **more)

    way = Closing.way
    monkeypatch.setattr(Closing, "way", counted)
    monkeypatch.setattr(Closing, "next_way", lambda *_, **__: pytest.fail("looked again"))
    schema = {"type": "array", "items": {"type": "string", "minLength": 40}, "minItems": 4}
    state = compiler.state(Constraint.json_schema(schema), 20_000)
    assert len(Talker(compiler, 1, False).talk(state, 100)) == 100 and not looks


def record(**members: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": list(members)}


def kinds(*members: Any) -> dict[str, Any]:
    return {"$defs": {"any": {"anyOf": list(members)}}, "$ref": "#/$defs/any"}


ANY, NULL, INTEGER = {"$ref": "#/$defs/any"}, {"type": "null"}, {"type": "integer"}
WORDS = {"enum": ["alpha", "beta", "gamma"]}


@pytest.mark.parametrize(
    ("schema", "limit"),
    [
        (record(**{f"p{i}": WORDS for i in range(200)}), 100),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 1_000_000}, 20),
        ({"type": "array", "items": WORDS, "minItems": 1_000_000}, 400),
        (
            {
                "type": "array",
                "items": record(**{f"f{i}": {"anyOf": [WORDS, INTEGER, NULL]} for i in range(20)}),
                "minItems": 100,
            },
            256,
        ),
    ],
)
def test_no_token_waits_for_a_long_search(
    compiler: GrammarCompiler,
    monkeypatch: pytest.MonkeyPatch,
    schema: dict[str, Any],
    limit: int,
) -> None:
    taken = [0]

    def counted(search: Search[Any], steps: int) -> int:
        found = go_on(search, steps)
        taken[-1] += found
        return found

    go_on = Search.go_on
    monkeypatch.setattr(Search, "go_on", counted)
    state = compiler.state(Constraint.json_schema(schema), limit)
    talker = Talker(compiler, 3, False)
    for _ in range(limit):
        taken.append(0)
        state.advance([talker.wants(state, [])])
    assert state.failure is None and not state.accepting and not state.narrowed
    assert max(taken) <= SLICE and sum(taken) <= ALL


def test_a_search_longer_than_a_token_still_ends_an_answer(compiler: GrammarCompiler) -> None:
    schema = {"type": "array", "items": {"type": "boolean"}, "minItems": 150, "maxItems": 200}
    least = len(compiler.tables.plain.tokenize_str(json.dumps([True] * 150)))
    for spare in (60, 100):
        state = compiler.state(Constraint.json_schema(schema), least + spare)
        said = Talker(compiler, spare, True).talk(state, least + spare)
        jsonschema.validate(json.loads(text(compiler, said)), schema)


@pytest.mark.parametrize("spare", [3, 20, 100, 400, 1000])
@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        (
            kinds(record(value=INTEGER, next=ANY), NULL),
            '{"value": 1, "next": {"value": 2, "next": {"value": 3, "next": null}}}',
        ),
        (kinds(record(negate=ANY), {"type": "boolean"}), '{"negate": {"negate": true}}'),
        (
            kinds(
                record(kind={"const": "node"}, left=ANY, right=ANY),
                record(kind={"const": "leaf"}, value=INTEGER),
            ),
            '{"kind": "node", "left": {"kind": "node", "left": {"kind": "leaf", "value": 1}, '
            '"right": {"kind": "leaf", "value": 2}}, "right": {"kind": "leaf", "value": 3}}',
        ),
    ],
)
def test_a_recursive_answer_that_fits_is_left_alone(
    compiler: GrammarCompiler, schema: dict[str, Any], wanted: str, spare: int
) -> None:
    tokens = compiler.tables.plain.tokenize_str(wanted)
    state = compiler.state(Constraint.json_schema(schema), len(tokens) + spare)
    assert [token for each in tokens for token in state.advance([each])] == tokens
    assert state.accepting and not state.narrowed


def test_a_recursive_answer_that_never_ends_is_closed_near_the_limit(
    compiler: GrammarCompiler,
) -> None:
    schema = kinds(record(next=ANY), NULL)
    tokens = compiler.tables.plain.tokenize_str('{"next": ' * 200)
    state = compiler.state(Constraint.json_schema(schema), 300)
    said: list[int] = []
    while not state.narrowed:
        said += state.advance([tokens[len(said)]])
    said += Talker(compiler, 1, False).talk(state, 300 - len(said))
    jsonschema.validate(json.loads(text(compiler, said)), schema)
    assert len(said) > 200
