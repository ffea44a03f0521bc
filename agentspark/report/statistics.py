"""The few statistics a comparison needs. Every one of them takes unknowns and says so."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from agentspark.report.pairing import StepPair

Metric = Literal["total_ms", "queue_ms", "prefill_ms", "ttft_ms", "decode_ms"]
METRICS: tuple[Metric, ...] = ("queue_ms", "prefill_ms", "ttft_ms", "decode_ms", "total_ms")

CONFIDENCE = 0.95
RESAMPLES = 2000
# Resamples that are drawn together: memory is that times the steps.
_AT_ONCE = 100
# Fewer steps than this say too little about their spread.
FEWEST_STEPS = 5


def known_sum(values: Iterable[float | None]) -> float | None:
    """The sum of the known values; ``None`` where there is none."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def known_count(values: Iterable[int | None]) -> int | None:
    """The sum of the known counts; ``None`` where there is none."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def known_median(values: Iterable[float | None]) -> float | None:
    """The median of the known values; ``None`` where there is none."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def known_middle(values: Iterable[int | None]) -> int | None:
    """The lower median of the known counts, one that was observed."""
    known = [value for value in values if value is not None]
    return statistics.median_low(known) if known else None


def ratio(over: float | None, under: float | None) -> float | None:
    """``over / under``; ``None`` where one is unknown or ``under`` is as good as zero."""
    if over is None or not under:
        return None
    quotient = over / under
    return quotient if math.isfinite(quotient) else None


def add_histograms(histograms: Iterable[Sequence[int] | None]) -> list[int] | None:
    """Element by element; ``None`` where there is none."""
    known = [list(histogram) for histogram in histograms if histogram is not None]
    if not known:
        return None
    width = max(len(histogram) for histogram in known)
    return [sum(h[at] for h in known if at < len(h)) for at in range(width)]


def times(pairs: Iterable[StepPair], metric: Metric) -> list[tuple[float, float]]:
    """The (baseline, accelerated) milliseconds of the pairs in which both are known."""
    both = ((getattr(p.baseline, metric), getattr(p.accelerated, metric)) for p in pairs)
    return [(one, other) for one, other in both if one is not None and other is not None]


def speedup(pairs: Iterable[StepPair], metric: Metric) -> float | None:
    """Summed baseline time over summed accelerated time, over the pairs that know both."""
    known = times(pairs, metric)
    return ratio(sum(one for one, _ in known), sum(other for _, other in known)) if known else None


def spread(pairs: Iterable[StepPair], metric: Metric) -> tuple[float, float] | None:
    """The lowest and the highest speed-up of any one pair; ``None`` for fewer than two."""
    each = (ratio(one, other) for one, other in times(pairs, metric))
    ratios = [gain for gain in each if gain is not None]
    return (min(ratios), max(ratios)) if len(ratios) > 1 else None


def bootstrap_interval(
    steps: Sequence[Sequence[StepPair]], metric: Metric = "total_ms", *, seed: int = 0
) -> tuple[float, float] | None:
    """Bootstrap interval (``CONFIDENCE``) of the speed-up over all steps.

    ``steps`` holds the repetitions of each step. Steps are drawn with replacement, each with all
    its repetitions, because repetitions of one step are not independent of each other. ``None``
    below ``FEWEST_STEPS``. The same input gives the same interval.
    """
    sums = [
        (sum(one for one, _ in known), sum(other for _, other in known))
        for known in (times(pairs, metric) for pairs in steps)
        if known
    ]
    if len(sums) < FEWEST_STEPS:
        return None
    slow, fast = np.asarray(sums, dtype=np.float64).T.copy()
    generator = np.random.default_rng(seed)
    gains = np.concatenate([_draw(slow, fast, generator) for _ in range(RESAMPLES // _AT_ONCE)])
    if not np.all(np.isfinite(gains)):
        return None
    outside = _outside(len(sums))
    low, high = np.quantile(gains, [outside, 1.0 - outside])
    return float(low), float(high)


def _outside(steps: int) -> float:
    """The part of the resamples that lies beyond either end of the interval.

    Resamples of few steps spread less than the steps of another day would, so that plain
    percentiles promise too much. These are widened as Student's t widens a normal interval: the
    expanded percentile interval, https://arxiv.org/abs/1411.5279, section 5.
    """
    normal, free = statistics.NormalDist(), steps - 1
    z = normal.inv_cdf((1.0 + CONFIDENCE) / 2.0)
    # The quantile of t by that of the normal distribution (Abramowitz and Stegun, 26.7.5).
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * free**3)
    return normal.cdf(-t * math.sqrt(steps / free))


def _draw(
    slow: NDArray[np.float64], fast: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.float64]:
    """The speed-ups of ``_AT_ONCE`` resamples; not finite where the divisor is as good as zero."""
    drawn = generator.integers(0, len(slow), size=(_AT_ONCE, len(slow)))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        gains: NDArray[np.float64] = slow.take(drawn).sum(axis=1) / fast.take(drawn).sum(axis=1)
    return gains
