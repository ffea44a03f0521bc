"""Free text that must have a certain end has it before the tokens run out."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from agentspark.engine.grammar.compiler import GrammarCompiler
from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.grammar.endings import endings, matching
from agentspark.sampling import bits

PATTERNS = [r"\.pdf$", r"@example\.com$", r"^https://.*\.pdf$", "[0-9]", "ab", 'say "x"$']


def talkative(compiler: GrammarCompiler, constraint: Constraint, limit: int, seed: int) -> str:
    """What is said by random words that close nothing of themselves where they need not."""
    rng, tables = np.random.default_rng(seed), compiler.tables.plain
    words = np.array([tables.decode_bytes([t]).isalpha() for t in range(512)])
    state = compiler.state(constraint, limit)
    said: list[int] = []
    while len(said) < limit and not state.complete:
        allowed = bits.allowed(state.rows(), 512)[0]
        wanted = np.flatnonzero(allowed & words)
        said += state.advance([int(rng.choice(wanted if len(wanted) else np.flatnonzero(allowed)))])
    assert state.failure is None
    return str(tables.decode_str([t for t in said if t != 2]))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("limit", [50, 120])
def test_a_string_of_a_schema_is_closed(
    compiler: GrammarCompiler, pattern: str, limit: int
) -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "string", "pattern": pattern}, "b": {"type": "string"}},
        "required": ["a", "b"],
    }
    for seed in range(2):
        found = json.loads(talkative(compiler, Constraint.json_schema(schema), limit, seed))
        assert re.search(pattern, found["a"])


@pytest.mark.parametrize("pattern", [r"(?s:.*)\.pdf", r"https://[a-z/]+@example\.com"])
def test_an_answer_of_a_pattern_ends(compiler: GrammarCompiler, pattern: str) -> None:
    assert re.fullmatch(pattern, talkative(compiler, Constraint.regex(pattern), 60, 0))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^https://.*\.pdf$", "https://.pdf"),
        ("^[a-z]+-[0-9]{4}$", "a-0000"),
        (r"(foo|b)+[^a-z]\d\w\S", "b00aa"),
        (r"[^\w ]x?", "-"),
        ("(?=a)b", ""), ("(a{1000}){1000}", ""), ("x{40000000000}", ""), ("(", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_short_text_that_matches(pattern: str, text: str) -> None:
    assert matching(pattern) == text


def test_the_ends_of_schemas_are_as_json_writes_them() -> None:
    assert endings(['{"items": [{"pattern": "a\\"$"}]}']) == ['"', '\\"', 'a\\"']
