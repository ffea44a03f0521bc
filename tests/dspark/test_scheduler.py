"""The planners: which prefix of the ranking they verify, and that the choice cannot bias."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentspark.dspark.scheduler import plan, plan_global, plan_synchronous


class Steps:
    """A cost curve given as rounds per second for 1, 2, 3, ... rows; padded to a multiple."""

    def __init__(self, *per_second: float, multiple: int = 1) -> None:
        self.per_second = per_second
        self.multiple = multiple

    def steps_per_second(self, rows: int) -> float:
        return self.per_second[min(rows, len(self.per_second)) - 1]

    def padded(self, rows: int) -> int:
        return -(-rows // self.multiple) * self.multiple


FREE_ROWS = Steps(1.0)


def test_everything_is_verified_where_rows_cost_nothing() -> None:
    survivals = [[0.9, 0.5, 0.1], [0.2], []]
    assert plan_synchronous(survivals, 3, FREE_ROWS) == [3, 1, 0]
    assert plan_global(survivals, 3, FREE_ROWS) == [3, 1, 0]


def test_nothing_is_verified_where_a_row_costs_a_round() -> None:
    linear = Steps(*[1 / rows for rows in range(1, 20)])
    assert plan_synchronous([[0.99, 0.98]], 1, linear) == [0]


def test_the_most_likely_drafts_come_first_over_all_requests() -> None:
    # Each row adds 30% of the first forward: worth it while survival stays above tau's share.
    cost = Steps(*[1 / (1 + 0.3 * rows) for rows in range(20)])
    assert plan_synchronous([[0.9, 0.8, 0.1], [0.3, 0.2], [0.7, 0.1]], 3, cost) == [2, 0, 1]


def test_the_synchronous_form_stops_at_the_first_drop() -> None:
    # A step up after the first draft, then flat: worth it only for several drafts at once.
    stairs = Steps(1.0, 0.5, 0.5, 0.5, 0.5)
    survivals = [[0.9, 0.9, 0.9, 0.9]]
    assert plan_synchronous(survivals, 1, stairs) == [0]
    assert plan_global(survivals, 1, stairs) == [4]


def test_equal_theta_does_not_improve() -> None:
    assert plan_synchronous([[0.5]], 1, Steps(3.0, 2.0)) == [0]
    assert plan_global([[0.5]], 1, Steps(3.0, 2.0)) == [0]


def test_base_yield_counts_what_is_verified_anyway() -> None:
    cost = Steps(1.0, 0.7)
    assert plan_synchronous([[0.5]], 1, cost) == [1]
    assert plan_synchronous([[0.5]], 1, cost, base_yield=4.0) == [0]


def test_an_estimate_that_grows_along_a_prefix_keeps_the_order() -> None:
    assert plan_global([[0.1, 0.9]], 1, Steps(1.0, 0.95, 0.85)) == [1]


survival_lists = st.lists(
    st.lists(st.floats(0.0, 1.0), max_size=6).map(lambda row: sorted(row, reverse=True)),
    max_size=5,
)
curves = st.lists(st.floats(0.01, 1.0), min_size=1, max_size=40).map(
    lambda costs: Steps(*sorted(costs, reverse=True))
)


def theta(survivals: Sequence[Sequence[float]], lengths: Sequence[int], cost: Steps) -> float:
    tau = len(survivals) + sum(sum(row[:n]) for row, n in zip(survivals, lengths, strict=True))
    return tau * cost.steps_per_second(len(survivals) + sum(lengths))


@given(survival_lists, curves)
def test_the_global_search_finds_the_best_of_all_plans(
    survivals: list[list[float]], cost: Steps
) -> None:
    plan = plan_global(survivals, len(survivals), cost)
    assert all(0 <= n <= len(row) for n, row in zip(plan, survivals, strict=True))
    small = survivals[:3]
    best = max(
        theta(small, lengths, cost)
        for lengths in product(*[range(min(len(row), 6) + 1) for row in small])
    )
    found = theta(small, plan_global(small, len(small), cost), cost)
    assert found == pytest.approx(best)


@given(survival_lists, curves)
def test_the_synchronous_plan_is_never_worse_than_no_drafts(
    survivals: list[list[float]], cost: Steps
) -> None:
    plan = plan_synchronous(survivals, max(len(survivals), 1), cost)
    if survivals:
        assert theta(survivals, plan, cost) >= theta(survivals, [0] * len(survivals), cost) - 1e-9


def test_what_padding_computes_anyway_is_filled_in_order() -> None:
    # A row more costs a third of a round: worth it for the first draft and for no other.
    cost = Steps(*[1 / (2 + rows) for rows in range(1, 20)], multiple=4)
    survivals = [[0.9, 0.3, 0.1], [0.2, 0.1]]
    assert plan_synchronous(survivals, 2, Steps(*cost.per_second)) == [1, 0]
    assert plan_synchronous(survivals, 2, cost) == [2, 0]
    assert plan_synchronous(survivals, 1, cost) == [2, 1]
    assert plan_synchronous([[0.1] * 7], 4, cost) == [0]
    assert plan_synchronous([[0.1]], 1, cost) == [1]


def test_the_global_search_counts_the_rows_that_are_computed() -> None:
    # Four rows and then eight: a fifth alone is not worth it, with three more it is.
    cost = Steps(*[1 / (2 + rows) for rows in range(1, 20)], multiple=4)
    assert plan_global([[0.9, 0.8, 0.7, 0.6]], 1, cost) == [3]
    assert plan_global([[0.99] * 7], 1, cost) == [7]


def test_free_requests_are_searched_globally() -> None:
    stairs = Steps(1.0, 0.5, 0.5, 0.5, 0.5)
    assert plan([[0.9] * 4], 1, stairs, free=True) == [4]
    assert plan([[0.9] * 4], 1, stairs, free=False) == [0]


# --- Losslessness, exactly -----------------------------------------------------------------

Dist = tuple[Fraction, ...]
Prefix = tuple[int, ...]
Plan = Callable[[list[float]], int]


def verified(
    p_t: Callable[[Prefix], Dist],
    p_d: Callable[[Prefix], Dist],
    draft: Prefix,
    n: int,
) -> dict[Prefix, Fraction]:
    """Distribution of a round's output when the first ``n`` of ``draft`` are verified."""
    out: dict[Prefix, Fraction] = defaultdict(Fraction)
    reached = Fraction(1)
    for i in range(n):
        before, x = draft[:i], draft[i]
        t, d = p_t(before), p_d(before)
        keep = min(Fraction(1), t[x] / d[x])
        rest = [max(Fraction(0), a - b) for a, b in zip(t, d, strict=True)]
        if keep < 1:
            for y, mass in enumerate(rest):
                out[(*before, y)] += reached * (1 - keep) * mass / sum(rest)
        reached *= keep
    for y, mass in enumerate(p_t(draft[:n])):
        out[(*draft[:n], y)] += reached * mass
    return out


def output(
    p_t: Callable[[Prefix], Dist],
    p_d: Callable[[Prefix], Dist],
    survival: Callable[[Prefix], list[float]],
    plan: Plan,
    block: int,
    horizon: int,
) -> dict[Prefix, Fraction]:
    """Distribution of the first ``horizon`` tokens over every draft the drafter may draw."""
    total: dict[Prefix, Fraction] = defaultdict(Fraction)
    vocab = range(len(p_t(())))
    for draft in product(vocab, repeat=block):
        drawn = Fraction(1)
        for i, x in enumerate(draft):
            drawn *= p_d(draft[:i])[x]
        for tokens, mass in verified(p_t, p_d, draft, plan(survival(draft))).items():
            add_continued(total, p_t, tokens, drawn * mass, horizon)
    return {tokens: mass for tokens, mass in total.items() if mass}


def add_continued(
    total: dict[Prefix, Fraction],
    p_t: Callable[[Prefix], Dist],
    tokens: Prefix,
    mass: Fraction,
    horizon: int,
) -> None:
    """Cut to ``horizon`` tokens, or continue exactly with the target."""
    if len(tokens) >= horizon:
        total[tokens[:horizon]] += mass
        return
    for y, p in enumerate(p_t(tokens)):
        add_continued(total, p_t, (*tokens, y), mass * p, horizon)


def look_ahead(survivals: Sequence[Sequence[float]], base: int, cost: Steps) -> list[int]:
    """The tempting wrong planner: a global search at the present survivals."""
    return plan_global(survivals, base, cost)


def counterexample(plan: Callable[..., list[int]]) -> Dist:
    """The paper's case: the second confidence tells what the first draft was."""
    target, drafter = (Fraction(7, 10), Fraction(3, 10)), (Fraction(1, 2), Fraction(1, 2))
    result = output(
        lambda prefix: target,
        lambda prefix: drafter,
        lambda draft: [0.8, 0.8 if draft[0] == 0 else 0.0],
        lambda survival: plan([survival], 1, Steps(1.0, 0.5, 0.45))[0],
        block=2,
        horizon=1,
    )
    return result[(0,)], result[(1,)]


def test_the_papers_counterexample_does_not_bias_the_synchronous_form() -> None:
    assert counterexample(plan_synchronous) == (Fraction(7, 10), Fraction(3, 10))


def test_the_papers_counterexample_biases_a_look_ahead() -> None:
    assert counterexample(look_ahead) == (Fraction(17, 20), Fraction(3, 20))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[Prefix, Dist], dict[Prefix, Dist], dict[Prefix, float]]:
    """Target, drafter and confidences over two tokens and blocks of three: any functions at all."""
    prefixes = [p for n in range(4) for p in product(range(2), repeat=n)]

    def table() -> dict[Prefix, Dist]:
        tenths = [draw(st.integers(1, 9)) for _ in prefixes]
        return {
            p: (Fraction(t, 10), Fraction(10 - t, 10))
            for p, t in zip(prefixes, tenths, strict=True)
        }

    confidence = {p: draw(st.sampled_from([0.05, 0.3, 0.6, 0.9, 1.0])) for p in prefixes}
    return table(), table(), confidence


@settings(max_examples=60, deadline=None)
@given(worlds(), curves, st.lists(st.floats(0.0, 1.0), max_size=4), st.sampled_from([1, 2, 3, 5]))
def test_no_confidence_can_bias_the_synchronous_form(
    world: tuple[dict[Prefix, Dist], dict[Prefix, Dist], dict[Prefix, float]],
    cost: Steps,
    neighbour: list[float],
    multiple: int,
) -> None:
    target, drafter, confidence = world
    padded = Steps(*cost.per_second, multiple=multiple)

    def survival(draft: Prefix) -> list[float]:
        reached, row = 1.0, []
        for k in range(len(draft)):
            reached *= confidence[draft[:k]]
            row.append(reached)
        return row

    def synchronous(mine: list[float]) -> int:
        return plan_synchronous([mine, other], 2, padded)[0]

    other = sorted(neighbour, reverse=True)
    exact = output(target.__getitem__, drafter.__getitem__, survival, lambda _: 0, 3, 3)
    assert output(target.__getitem__, drafter.__getitem__, survival, synchronous, 3, 3) == exact


def test_filling_by_the_next_survivals_would_bias() -> None:
    """What the fill must not do, or the test above could not fail: go by what comes after."""

    def greedy_fill(survivals: list[list[float]], base: int, cost: Steps) -> list[int]:
        (row,) = survivals
        return [2 if row[1] > 0.5 else 0]

    assert counterexample(greedy_fill) != (Fraction(7, 10), Fraction(3, 10))
