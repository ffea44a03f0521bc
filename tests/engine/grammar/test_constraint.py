"""Patterns and choices: what they may be, and that each of them can be said."""

from __future__ import annotations

import pytest

from agentspark.engine.grammar.answers import AnswerGrammar
from agentspark.engine.grammar.compiler import GrammarCompiler
from agentspark.engine.grammar.constraint import MAX_CHOICES, Constraint
from agentspark.errors import InvalidRequestError
from agentspark.models.tools.reasoning import ReasoningFormat


def can_say(compiler: GrammarCompiler, constraint: Constraint, text: str) -> bool:
    """Whether ``text`` is a whole answer under ``constraint``."""
    tokens = compiler.tables.plain.tokenize_str(text)
    state = compiler.state(constraint, 1000)
    return (
        state.allows(tokens) == len(tokens)
        and state.advance(tokens) == tokens
        and (state.complete or state.accepting)
    )


@pytest.mark.parametrize("count", [3000, MAX_CHOICES])
def test_thousands_of_choices_can_be_followed(compiler: GrammarCompiler, count: int) -> None:
    choices = [f"choice number {at}" for at in range(count)]
    constraint = Constraint.choice(choices)
    for text in (choices[0], choices[7], choices[count // 2], choices[-1]):
        assert can_say(compiler, constraint, text)
    assert not can_say(compiler, constraint, f"choice number {count}")


def test_choices_may_begin_with_each_other(compiler: GrammarCompiler) -> None:
    choices = ["read", "re", "read the file", "read the files"]
    constraint = Constraint.choice(choices)
    assert all(can_say(compiler, constraint, text) for text in choices)
    assert not can_say(compiler, constraint, "read the")


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x7f", "\x85", "\u2028", '"', "\\", "\r\n"])
def test_a_choice_may_have_any_character(compiler: GrammarCompiler, character: str) -> None:
    text = f"a{character}b"
    assert can_say(compiler, Constraint.choice([text, "other"]), text)


def test_half_a_surrogate_pair_is_no_text() -> None:
    with pytest.raises(InvalidRequestError, match="surrogate") as caught:
        Constraint.regex("\ud800")
    assert caught.value.param == "regex"
    with pytest.raises(InvalidRequestError, match="surrogate") as caught:
        Constraint.choice(["a", "\ud800"])
    assert caught.value.param == "choice"


@pytest.mark.parametrize(
    ("constraint", "advised"),
    [
        (Constraint.json_schema({"type": "array", "uniqueItems": True}), True),
        (Constraint.json_schema({"type": "strange"}, strict=False), False),
        (Constraint.regex("(?=a)b"), False),
    ],
)
def test_strict_false_is_advised_where_it_is_a_way_out(
    compiler: GrammarCompiler, constraint: Constraint, advised: bool
) -> None:
    with pytest.raises(InvalidRequestError, match="Leave that part out") as caught:
        compiler.state(constraint, 10)
    assert ("strict=false" in str(caught.value)) == advised


def test_what_is_required_must_be_a_list(compiler: GrammarCompiler) -> None:
    constraint = Constraint.json_schema({"properties": {"a": {}}, "required": 5}, param="mine")
    with pytest.raises(InvalidRequestError, match="'required'"):
        compiler.state(constraint, 10)


LARK = 'start: inner\ninner: "(" inner ")" | ANSWER\nANSWER: /[0-9]{1,3}/\nwanted: "}"\n// }'
GBNF = 'root ::= inner\ninner ::= "(" inner ")" | [0-9] [0-9]? [0-9]?'


@pytest.mark.parametrize("text", [LARK, GBNF], ids=["lark", "gbnf"])
def test_a_grammar_is_followed(compiler: GrammarCompiler, text: str) -> None:
    constraint = Constraint.grammar(text)
    for said in ("7", "(42)", "((((123))))"):
        assert can_say(compiler, constraint, said)
    for said in ("(42", "()", "a", "42)"):
        assert not can_say(compiler, constraint, said)


def test_a_grammar_keeps_its_rules_to_itself(compiler: GrammarCompiler) -> None:
    text = 'start: answer preamble\nanswer: "a"\npreamble: thoughts\nthoughts: "b"'
    constraint = Constraint.grammar(text)
    assert can_say(compiler, constraint, "ab")
    grammar = AnswerGrammar({}, ReasoningFormat("<think>", "</think>"), "inside")
    thought = grammar.format(constraint)
    assert can_say(compiler, thought, "so</think>ab")
    assert not can_say(compiler, thought, "ab")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("begin: /a/", "a rule start"),
        ("root ::= other", "Rule 'other' not found"),
        ("root ::= (" + "(" * 9000, "recursion"),
        ("", "1 to 100,000"),
        ("x" * 100_001, "1 to 100,000"),
        (5, "1 to 100,000"),
        ("start: /\ud800/", "surrogate"),
    ],
)
def test_what_is_no_grammar_is_said_to_be_none(text: object, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says) as caught:
        Constraint.grammar(text)  # type: ignore[arg-type]
    assert caught.value.param == "grammar"


@pytest.mark.parametrize("text", ["start: (", "start: other", "start: /a/\n}"])
def test_a_grammar_that_cannot_be_followed_is_refused(compiler: GrammarCompiler, text: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"^grammar cannot be enforced: \D+\.") as caught:
        compiler.state(Constraint.grammar(text), 10)
    assert caught.value.param == "grammar"
