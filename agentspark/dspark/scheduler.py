"""How many drafts of each request to verify: the hardware-aware prefix scheduler.

Both forms rank the pairs (request, k) by survival ``a[r][k]`` and verify a prefix of that ranking;
they differ in how they decide its length. ``Theta = tau * SPS(B)`` is the expected number of
tokens per second of a round that yields ``tau`` tokens with a forward of ``B`` rows.

Lossless or not. With sampled drafts ``a[r][k+1]`` depends on the drawn token ``x[r][k]``. If the
admission of ``x[r][k]`` depends on its own value, the tokens that get verified are a biased choice
and the output is no longer the target's distribution. Therefore:

- ``plan_synchronous`` (the paper's Algorithm 1) stops at the first ``Theta`` that does not
  improve: whether ``x[r][k]`` is admitted is settled before anything that depends on it is read;
- ``plan_global`` searches the present survivals globally. It is for drafts whose survivals cannot
  bias anything: greedy requests, and one-hot proposals made from committed tokens alone.

Forwards are padded to certain numbers of rows, so their cost is a staircase, at whose steps the
first form would stop. It is shown the line along the steps' ends, and fills the step on which it
has stopped: what is admitted then follows in the ranking on everything that led to the stop, so
its own value was not among it. (The paper takes the length from survivals of two rounds ago, which
needs no such line and knows less of the present round.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

Survivals = Sequence[Sequence[float]]


class RoundCost(Protocol):
    """What a round costs, as far as planning is concerned."""

    def steps_per_second(self, rows: int) -> float:
        """Whole rounds per second with a forward of ``rows`` computed rows."""
        ...

    def padded(self, rows: int) -> int:
        """The number of rows that a forward of ``rows`` tokens computes: as many or more."""
        ...


def plan(
    survivals: Survivals,
    base_tokens: int,
    cost: RoundCost,
    *,
    free: bool,
    base_yield: float | None = None,
) -> list[int]:
    """Return the number of drafts to verify, one entry per request.

    ``base_tokens`` are the rows that are forwarded anyway: one anchor per request, prefill
    chunks, drafts whose verification is already decided. ``base_yield`` is the expected
    number of tokens from those; ``None`` stands for one per request. ``free`` says that no
    survival can bias the output (see the module's docstring).
    """
    search = plan_global if free else plan_synchronous
    return search(survivals, base_tokens, cost, base_yield=base_yield)


def plan_synchronous(
    survivals: Survivals, base_tokens: int, cost: RoundCost, *, base_yield: float | None = None
) -> list[int]:
    """Algorithm 1: admit by survival, stop at the first ``Theta`` that does not improve.

    What padding would compute anyway is filled up in the same order.
    """
    order = _ranking(survivals)
    tau = _base(base_yield, survivals)
    best = tau * cost.steps_per_second(base_tokens)
    admitted = 0
    for survival, _, _ in order:
        tau += survival
        theta = tau * cost.steps_per_second(base_tokens + admitted + 1)
        if not theta > best:
            break
        best = theta
        admitted += 1
    filled = cost.padded(base_tokens + admitted) - base_tokens
    return _lengths(order[:filled], len(survivals))


def plan_global(
    survivals: Survivals, base_tokens: int, cost: RoundCost, *, base_yield: float | None = None
) -> list[int]:
    """The best ``Theta`` over every length of the ranking. Only where nothing can bias."""
    order = _ranking(survivals)
    tau = _base(base_yield, survivals)
    best, budget = tau * cost.steps_per_second(cost.padded(base_tokens)), 0
    for admitted, (survival, _, _) in enumerate(order, start=1):
        tau += survival
        theta = tau * cost.steps_per_second(cost.padded(base_tokens + admitted))
        if theta > best:
            best, budget = theta, admitted
    return _lengths(order[:budget], len(survivals))


def _ranking(survivals: Survivals) -> list[tuple[float, int, int]]:
    """``(survival, k, request)`` in the order of admission; ties go to the earlier position."""
    pairs: list[tuple[float, int, int]] = []
    for r, row in enumerate(survivals):
        floor = None
        for k, survival in enumerate(row):
            # Survival cannot grow along a prefix; an estimate that says so must not break order.
            floor = survival if floor is None or survival < floor else floor
            pairs.append((floor, k, r))
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return pairs


def _base(base_yield: float | None, survivals: Survivals) -> float:
    """Expected tokens of the round without any draft: one per request unless told."""
    return float(len(survivals)) if base_yield is None else base_yield


def _lengths(admitted: Sequence[tuple[float, int, int]], requests: int) -> list[int]:
    lengths = [0] * requests
    for _, _, r in admitted:
        lengths[r] += 1
    return lengths
