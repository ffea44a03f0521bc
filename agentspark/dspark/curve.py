"""A measured curve that never falls: seconds over a count of rows or requests."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence

from agentspark.errors import ConfigError

# Corrections leave every point above zero, so that rates stay finite.
_LEAST_S = 1e-9


class Curve:
    """Seconds over a count, from measured points: never falling, linear in between.

    Left of the first point it is flat, right of the last it goes on with the last slope (at least
    the mean cost per row of the last point's half, so that it never promises rows for nothing).
    """

    __slots__ = ("_x", "_y")

    def __init__(self, points: Mapping[int, float]) -> None:
        if not points:
            raise ConfigError("A cost curve needs at least one measured point.")
        if any(x < 0 or not (math.isfinite(y) and y >= 0) for x, y in points.items()):
            raise ConfigError("Cost points must be counts with finite seconds: measure them again.")
        self._x = sorted(points)
        self._y = _isotonic([points[x] for x in self._x])

    @property
    def points(self) -> dict[int, float]:
        """The points as measured, corrected and made monotone."""
        return dict(zip(self._x, self._y, strict=True))

    def at(self, x: int) -> float:
        """Seconds at ``x``."""
        xs, ys = self._x, self._y
        i = bisect_left(xs, x)
        if i < len(xs):
            if i == 0 or xs[i] == x:
                return ys[i]
            share = (x - xs[i - 1]) / (xs[i] - xs[i - 1])
            return ys[i - 1] + share * (ys[i] - ys[i - 1])
        return ys[-1] + (x - xs[-1]) * self._slope()

    def shift(self, x: int, residual: float, rate: float) -> None:
        """Move the curve by ``rate * residual`` seconds at ``x``, or a little less.

        Half of it scales the whole curve (what changes is mostly the load or the context, which
        all counts feel), the other half moves the points around ``x``, the nearer one more. The
        corrected points are made monotone at once: a point that only its neighbours hold in place
        would otherwise run away from them.
        """
        xs, now = self._x, self.at(x)
        if now > 0.0:
            self._y = [y * (1.0 + 0.5 * rate * residual / now) for y in self._y]
        i = bisect_left(xs, x)
        if i == 0 or i == len(xs) or xs[i] == x:
            weights = {min(i, len(xs) - 1): 1.0}
        else:
            share = (x - xs[i - 1]) / (xs[i] - xs[i - 1])
            weights = {i - 1: 1.0 - share, i: share}
        for j, weight in weights.items():
            self._y[j] = max(self._y[j] + 0.5 * rate * weight * residual, _LEAST_S)
        self._y = _isotonic(self._y)

    def _slope(self) -> float:
        xs, ys = self._x, self._y
        floor = 0.5 * ys[-1] / max(xs[-1], 1)
        if len(xs) < 2:
            return floor
        return max((ys[-1] - ys[-2]) / (xs[-1] - xs[-2]), floor)


def _isotonic(values: Sequence[float]) -> list[float]:
    """Closest never-falling sequence (pool adjacent violators, equal weights)."""
    pools: list[tuple[float, int]] = []
    for value in values:
        total, count = value, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / count:
            previous = pools.pop()
            total, count = total + previous[0], count + previous[1]
        pools.append((total, count))
    return [total / count for total, count in pools for _ in range(count)]
