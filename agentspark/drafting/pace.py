"""Whether the drafter's pass pays at the present load: found out by trying both ways.

What a pass costs, what more rows cost and how often drafts are kept all depend on the machine, the
number of streams and what they write, and the last two are known only once the pass is paid for.
A cost model that is a little wrong would slow down just those who asked for speed, so this counts:
committed tokens per second of rounds with the drafter in use and of rounds without, apart for
every doubling of the number of streams. The better way is kept, the other tried again now and
then, ever less often while it stays worse. Copies of earlier text cost no pass and go on; rounds in
which they are good enough for all are the same either way and do not count.

Only times and counts of earlier rounds decide, never a draft, so outputs stay the target's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# Rounds of the way in use between trials of the other, at first and at most; and of a trial. A
# round of many streams says more, so there a trial's are halved with every doubling of the streams,
# down to the least.
_PATIENCE, _MOST_PATIENCE = 24, 384
_TRIAL, _LEAST_TRIAL = 8, 4
# The first round with the drafter takes in what the rounds without it left over.
_SETTLING = 1
# Rounds without the drafter are more alike (copies aside), so half as many tell.
_STEADY = 2
# What was counted loses half of its weight in so many rounds.
_HALF_LIFE = 48
# A way must be better by this share to replace the one in use; one that is worse by the larger
# share is waited for twice as long again.
_MARGIN, _CLEARLY = 0.01, 0.15
# No round counts for more than this many times the mean of its way: the machine was elsewhere.
_STALL = 4.0


@dataclass(slots=True)
class _Rate:
    """Tokens and seconds of one way, older rounds with less weight."""

    tokens: float = 0.0
    seconds: float = 0.0
    rounds: float = 0.0

    def add(self, tokens: int, seconds: float) -> None:
        if self.rounds >= 2.0:
            seconds = min(seconds, _STALL * self.seconds / self.rounds)
        kept = 0.5 ** (1 / _HALF_LIFE)
        self.tokens = kept * self.tokens + tokens
        self.seconds = kept * self.seconds + seconds
        self.rounds = kept * self.rounds + 1.0

    def fade(self, rounds: float) -> None:
        """Let what is known weigh no more than so many rounds: it may be out of date."""
        share = min(1.0, rounds / self.rounds) if self.rounds else 1.0
        self.tokens, self.seconds = share * self.tokens, share * self.seconds
        self.rounds = share * self.rounds

    @property
    def per_second(self) -> float:
        return self.tokens / self.seconds if self.seconds > 0.0 else 0.0


@dataclass(slots=True)
class _Level:
    """The choice at one number of streams. ``ways`` is without and with the drafter."""

    trial: int
    ways: tuple[_Rate, _Rate] = field(default_factory=lambda: (_Rate(), _Rate()))
    chosen: bool = True
    trying: bool = False
    patience: int = _PATIENCE
    left: int = _PATIENCE
    settling: int = 0

    @classmethod
    def of(cls, doublings: int) -> _Level:
        """The level of so many doublings of one stream."""
        return cls(max(_TRIAL >> doublings, _LEAST_TRIAL))

    @property
    def drafts(self) -> bool:
        return self.chosen != self.trying

    def observe(self, tokens: int, seconds: float) -> None:
        if self.settling:
            self.settling -= 1
            return
        self.ways[self.drafts].add(tokens, seconds)
        self.left -= 1
        if self.left > 0:
            return
        if self.trying:
            self._decide()
        else:
            self.trying = True
            self.left = self.trial if self.drafts else self.trial // _STEADY
            self.settling = _SETTLING if self.drafts else 0
            self.ways[self.drafts].fade(0.5 * self.left)

    def _decide(self) -> None:
        now, other = self.ways[self.chosen].per_second, self.ways[not self.chosen].per_second
        self.trying = False
        if other > now * (1.0 + _MARGIN):
            self.chosen, self.patience = not self.chosen, _PATIENCE
        else:
            self.settling = _SETTLING if self.drafts else 0
            longer = 4 if other < now * (1.0 - _CLEARLY) else 2
            self.patience = min(longer * self.patience, _MOST_PATIENCE)
        self.left = self.patience


class DraftPace:
    """Keeps count of rounds and says whether the next one should use the drafter."""

    def __init__(self) -> None:
        self._levels: dict[int, _Level] = {}

    def drafts(self, streams: int) -> bool:
        """Whether to draft in the next round, for so many decoding streams."""
        return self._level(streams).drafts

    def observe(self, streams: int, tokens: int, seconds: float) -> None:
        """Add a round that followed ``drafts(streams)``: what it committed and how long it took."""
        if tokens > 0 and seconds > 0.0:
            self._level(streams).observe(tokens, seconds)

    def _level(self, streams: int) -> _Level:
        doublings = max(streams.bit_length() - 1, 0)
        if doublings not in self._levels:
            self._levels[doublings] = _Level.of(doublings)
        return self._levels[doublings]
