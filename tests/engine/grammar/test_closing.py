"""Ways out that are known again after more was said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from llguidance import LLMatcher, LLTokenizer

from agentspark.engine.grammar.answers import AnswerGrammar
from agentspark.engine.grammar.closing import Closing
from agentspark.engine.grammar.compiler import GrammarCompiler
from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.grammar.search import Search
from agentspark.models.tools.reasoning import ReasoningFormat

LIST: dict[str, Any] = {
    "type": "object",
    "properties": {"rest": {"anyOf": [{"$ref": "#"}, {"const": "[]"}]}},
    "required": ["rest"],
}


@pytest.fixture(scope="module")
def tables(compiler: GrammarCompiler) -> LLTokenizer:
    return compiler.tables.plain


def after(tables: LLTokenizer, text: str) -> LLMatcher:
    place = LLMatcher(tables, Constraint.json_schema(LIST).lark)
    assert place.consume_tokens(tables.tokenize_str(text))
    return place


def known(tables: LLTokenizer, place: LLMatcher, way: Sequence[int], said: str) -> Search[Any]:
    tokens = tables.tokenize_str(said)
    return Search(Closing(tables).next_way(place, way, tokens, 100, inside=False))


def test_a_way_is_known_again_however_much_was_said(tables: LLTokenizer) -> None:
    place = after(tables, '{"rest":')
    way = tables.tokenize_str(' "[]"}')
    assert place.deep_copy().consume_tokens(way)
    for said, ends in ((" ", "}"), (' {"rest": {"', "}}}")):
        search = known(tables, place, way, said)
        search.go_on(10_000)
        assert search.done and tables.decode_str(search.found).endswith(ends)
        there = after(tables, '{"rest":' + said)
        assert there.consume_tokens(search.found) and there.is_accepting()


def test_the_place_may_move_on_while_one_is_looked_for(tables: LLTokenizer) -> None:
    place = after(tables, '{"rest":')
    way = tables.tokenize_str(' "[]"}')
    at_once, bit_by_bit = (known(tables, place, way, ' {"rest": {"') for _ in range(2))
    at_once.go_on(10_000)
    assert place.consume_tokens(way)
    while not bit_by_bit.done:
        bit_by_bit.go_on(1)
    assert at_once.found == bit_by_bit.found


@pytest.mark.parametrize("character", ["é", "東", "ࠀ", "\U00010000", "\U0010ffff"])
def test_reasoning_is_left_from_the_middle_of_a_character(
    tables: LLTokenizer, character: str
) -> None:
    grammar = AnswerGrammar({}, ReasoningFormat("<think>", "</think>"), "inside")
    wanted = grammar.format(Constraint.choice(["yes"]))
    lead = tables.tokenize_str(wanted.leaving)
    closing = Closing(tables).leaving(wanted.leaving, lead)
    place = LLMatcher(tables, wanted.lark)
    begun = [tables.tokenize_bytes(bytes([byte]))[0] for byte in character.encode()]
    way = [*lead, *tables.tokenize_str("yes")]
    for said in range(1, len(begun)):
        there = place.deep_copy()
        assert there.consume_tokens(begun[:said])
        anew = Search(closing.way(there, 40, inside=True))
        again = Search(closing.next_way(place, way, begun[:said], 40, inside=True))
        for search in (anew, again):
            search.go_on(2_000)
            assert search.done and search.found is not None
            end = there.deep_copy()
            assert end.consume_tokens(list(search.found)) and end.is_accepting()
