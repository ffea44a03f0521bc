"""Survival estimates learned online, for sources that have no trained confidence."""

from __future__ import annotations

from collections.abc import Callable, Hashable

# Hits and trials fade by this per observation: the last ~50 count.
_DECAY = 0.98
# Weight of what an estimate falls back on, in observations.
_PRIOR_WEIGHT = 4.0


class _Beta:
    """Decayed counts of hits in trials."""

    __slots__ = ("hits", "trials")

    def __init__(self) -> None:
        self.hits = 0.0
        self.trials = 0.0

    def mean(self, prior: float) -> float:
        return (self.hits + _PRIOR_WEIGHT * prior) / (self.trials + _PRIOR_WEIGHT)

    def add(self, hit: bool) -> None:
        self.hits = self.hits * _DECAY + hit
        self.trials = self.trials * _DECAY + 1.0

    def fade(self) -> None:
        self.hits *= _DECAY
        self.trials *= _DECAY


class SurvivalEstimator:
    """Estimates how far proposals of a kind survive, from how far earlier ones did.

    A ``key`` names the kind (for the suffix source: where the match was found, how long it was).
    Per key and draft position it counts how often the draft was kept given that all before it
    were; positions with few observations lean on the key's average over positions, that on
    ``prior(key)``. Survival is the running product, so it never increases. Old observations
    fade, so that it follows an agent from copying to thinking and back.
    """

    def __init__(self, prior: Callable[[Hashable], float], max_positions: int = 32) -> None:
        self._prior = prior
        self._max_positions = max_positions
        self._pooled: dict[Hashable, _Beta] = {}
        self._by_position: dict[Hashable, list[_Beta]] = {}

    def survival(self, key: Hashable, n: int) -> list[float]:
        """Survival of the first ``n`` drafts of a proposal of this kind, each in [0, 1]."""
        pooled = self._pooled.get(key)
        base = self._prior(key) if pooled is None else pooled.mean(self._prior(key))
        cells = self._by_position.get(key, [])
        survival, running = [], 1.0
        for k in range(n):
            conditional = cells[k].mean(base) if k < len(cells) else base
            running *= conditional
            survival.append(running)
        return survival

    def update(self, key: Hashable, verified: int, accepted: int) -> None:
        """Learn that ``accepted`` of ``verified`` drafts were kept.

        A proposal that was not verified at all (0, 0) says nothing, but what is known about its
        kind fades towards the prior: a kind that was judged hopeless is tried again some day.
        """
        if not 0 <= accepted <= verified:
            raise ValueError(f"accepted={accepted} of verified={verified} drafts cannot be")
        pooled = self._pooled.setdefault(key, _Beta())
        cells = self._by_position.setdefault(key, [])
        if verified == 0:
            pooled.fade()
            if cells:
                cells[0].fade()
            return
        seen = min(accepted + (accepted < verified), self._max_positions)
        while len(cells) < seen:
            cells.append(_Beta())
        for k in range(seen):
            hit = k < accepted
            cells[k].add(hit)
            pooled.add(hit)
