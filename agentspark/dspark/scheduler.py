"""How many drafts of each request to verify: the hardware-aware prefix scheduler.

All forms rank the pairs (request, k) by survival ``a[r][k]`` and verify a prefix of that ranking;
they differ in how they decide its length. ``Theta = tau * SPS(B)`` is the expected number of
tokens per second of a round that yields ``tau`` tokens with a forward of ``B`` rows.

Lossless or not. With sampled drafts ``a[r][k+1]`` depends on the drawn token ``x[r][k]``. If the
admission of ``x[r][k]`` depends on its own value, the tokens that get verified are a biased choice
and the output is no longer the target's distribution. Therefore:

- ``plan_synchronous`` (the paper's Algorithm 1) stops at the first ``Theta`` that does not
  improve: whether ``x[r][k]`` is admitted is settled before anything that depends on it is read;
- ``AsynchronousPlanner`` takes the length from survivals of two rounds ago, found by a global
  search, and only ranks the present ones: good for cost curves with steps;
- ``plan_global`` searches the present survivals globally. It is for drafts whose survivals cannot
  bias anything: greedy requests, and one-hot proposals made from committed tokens alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

Survivals = Sequence[Sequence[float]]


class RoundCost(Protocol):
    """What a round costs, as far as planning is concerned."""

    def steps_per_second(self, rows: int) -> float:
        """Whole rounds per second with a forward of ``rows`` tokens."""
        ...


class Planner(Protocol):
    """Decides how many drafts of each request go through the target."""

    def plan(
        self,
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
        ...


def plan_synchronous(
    survivals: Survivals, base_tokens: int, cost: RoundCost, *, base_yield: float | None = None
) -> list[int]:
    """Algorithm 1: admit by survival, stop at the first ``Theta`` that does not improve."""
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
    return _lengths(order[:admitted], len(survivals))


def plan_global(
    survivals: Survivals, base_tokens: int, cost: RoundCost, *, base_yield: float | None = None
) -> list[int]:
    """The best ``Theta`` over every length of the ranking. Only where nothing can bias."""
    order = _ranking(survivals)
    budget = _best_budget(order, base_tokens, cost, _base(base_yield, survivals))
    return _lengths(order[:budget], len(survivals))


class SynchronousPlanner:
    """``plan_synchronous``, or the global search where that is free."""

    def plan(
        self,
        survivals: Survivals,
        base_tokens: int,
        cost: RoundCost,
        *,
        free: bool,
        base_yield: float | None = None,
    ) -> list[int]:
        """See ``Planner.plan``."""
        search = plan_global if free else plan_synchronous
        return search(survivals, base_tokens, cost, base_yield=base_yield)


class AsynchronousPlanner:
    """The budget comes from two rounds ago, the ranking from now.

    Until there are two rounds to look back at (and where ``free`` allows it always), it plans as
    ``SynchronousPlanner`` does. When the number of requests has changed since, the old survivals
    stand in turn for the present requests.
    """

    def __init__(self, delay: int = 2) -> None:
        if delay < 1:
            raise ValueError(f"delay={delay}: the budget must come from an earlier round")
        self._past: deque[list[list[float]]] = deque(maxlen=delay)

    def plan(
        self,
        survivals: Survivals,
        base_tokens: int,
        cost: RoundCost,
        *,
        free: bool,
        base_yield: float | None = None,
    ) -> list[int]:
        """See ``Planner.plan``."""
        if not survivals:
            return []
        ready = len(self._past) == self._past.maxlen
        old = self._past[0] if ready else []
        self._past.append([list(row) for row in survivals])
        if free:
            return plan_global(survivals, base_tokens, cost, base_yield=base_yield)
        if not ready:
            return plan_synchronous(survivals, base_tokens, cost, base_yield=base_yield)
        stand_in = [old[r % len(old)] for r in range(len(survivals))]
        tau = _base(base_yield, survivals)
        budget = _best_budget(_ranking(stand_in), base_tokens, cost, tau)
        return _lengths(_ranking(survivals)[:budget], len(survivals))


class FixedPlanner:
    """At most ``n`` drafts of each request; ``None`` verifies whole proposals."""

    def __init__(self, n: int | None = None) -> None:
        if n is not None and n < 0:
            raise ValueError(f"n={n}: give 0 or more drafts")
        self.n = n

    def plan(
        self,
        survivals: Survivals,
        base_tokens: int,
        cost: RoundCost,
        *,
        free: bool,
        base_yield: float | None = None,
    ) -> list[int]:
        """See ``Planner.plan``; only the lengths of ``survivals`` matter."""
        return [len(row) if self.n is None else min(self.n, len(row)) for row in survivals]


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


def _best_budget(
    order: Sequence[tuple[float, int, int]], base_tokens: int, cost: RoundCost, tau: float
) -> int:
    """Length of the ranking's prefix with the best ``Theta``; the shortest of equal ones."""
    best, budget = tau * cost.steps_per_second(base_tokens), 0
    for admitted, (survival, _, _) in enumerate(order, start=1):
        tau += survival
        theta = tau * cost.steps_per_second(base_tokens + admitted)
        if theta > best:
            best, budget = theta, admitted
    return budget


def _lengths(admitted: Sequence[tuple[float, int, int]], requests: int) -> list[int]:
    lengths = [0] * requests
    for _, _, r in admitted:
        lengths[r] += 1
    return lengths
