"""A place in a grammar: looking ahead leaves it where it is, and sees what advancing would see."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentspark.engine.grammar.compiler import GrammarCompiler
from agentspark.engine.grammar.constraint import Constraint
from agentspark.engine.grammar.state import GrammarState
from agentspark.sampling import bits
from benchmarks.random_schemas import random_schema

VOCAB = 512


def walk(state: GrammarState, rng: random.Random, steps: int) -> list[int]:
    """Random tokens that the grammar allows, committed one by one."""
    said: list[int] = []
    for _ in range(steps):
        if state.complete:
            break
        choices = bits.allowed(state.rows(), VOCAB)[0].nonzero()[0]
        said += state.advance([int(rng.choice(list(choices)))])
    return said


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 5000),
    before=st.integers(0, 30),
    limit=st.sampled_from([60, 1000]),
    noise=st.lists(st.integers(3, 511), max_size=3),
)
def test_looking_ahead_is_advancing_and_leaves_no_trace(
    compiler: GrammarCompiler, seed: int, before: int, limit: int, noise: list[int]
) -> None:
    rng = random.Random(seed)
    constraint = Constraint.json_schema(random_schema(rng))
    state = compiler.state(constraint, limit)
    said = walk(state, rng, before)
    if state.complete:
        return
    twin = compiler.state(constraint, limit)
    for token in said:
        twin.rows()
        twin.advance([token])
    here = state.rows().copy()
    drafts = walk(twin, rng, 6)
    ahead = state.rows(drafts + noise)
    assert state.allows(drafts) == len(drafts)
    state.forced(9)
    state.forced(9, drafts)
    again = compiler.state(constraint, limit)
    for token in said:
        again.rows()
        again.advance([token])
    assert np.array_equal(here, again.rows())
    for row, token in enumerate(drafts):
        assert np.array_equal(ahead[row], again.rows()[0])
        again.advance([token])
    if not again.complete:
        assert np.array_equal(ahead[len(drafts)], again.rows()[0])
    assert np.array_equal(state.rows()[0], here[0])


def test_forced_tokens_are_the_only_ones_allowed(compiler: GrammarCompiler) -> None:
    state = compiler.state(Constraint.choice(["the next file"]), 1000)
    forced = state.forced(31)
    assert len(forced) >= 2
    assert bits.single(state.rows(forced)[:-1]).all()
    assert state.forced(1) == forced[:1]
    assert state.advance(forced) == forced and state.complete


def test_a_lookahead_sees_what_its_request_sees(compiler: GrammarCompiler) -> None:
    state = compiler.state(Constraint.regex("a[bc]+d"), 1000)
    mask = state.lookahead()
    drafts = walk(compiler.state(Constraint.regex("a[bc]+d"), 1000), random.Random(1), 3)
    for row, token in enumerate(drafts):
        found = mask.row()
        assert found is not None and np.array_equal(found[0], state.rows(drafts)[row])
        mask.push(token)
    mask.push(0)
    assert mask.row() is None


def test_a_token_that_is_not_allowed_is_a_failure(compiler: GrammarCompiler) -> None:
    state = compiler.state(Constraint.regex("a[bc]+d"), 1000)
    state.advance([5])
    assert state.failure


def test_compiled_grammars_are_kept(compiler: GrammarCompiler) -> None:
    constraint = Constraint.regex("only once")
    compiler.state(constraint, 10).advance(compiler.state(constraint, 10).forced(2))
    fresh = compiler.state(Constraint.regex("only once"), 10)
    assert fresh.forced(31) and not fresh.accepting
