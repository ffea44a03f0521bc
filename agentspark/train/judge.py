"""Two drafters on the same sequences that neither was trained on: which one yields more?"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from agentspark.dspark.model import DraftModel
from agentspark.errors import DataError
from agentspark.train.evaluate import OfflineTau, gain_error, offline_tau, shown_figure
from agentspark.train.source import ExampleSource, with_greedy

# The share of greedily chosen tokens that a target must confirm as its own choice. Its own text
# reaches nearly 1, whatever a penalty or a grammar moved; another model's is near one half.
_OWN_SHARE = 0.75
_CHECKED = 32


@dataclass(frozen=True, slots=True)
class Judgement:
    """Accepted lengths before and after; ``replayed_*`` on held-out replay data, if there is any.

    ``greedy`` says which of the two figures of the steps counts, the traffic's own way, as long as
    there are greedy ones among those measured.
    """

    initial: OfflineTau
    adapted: OfflineTau
    greedy: bool
    steps: int
    replayed_initial: OfflineTau | None = None
    replayed_adapted: OfflineTau | None = None

    @property
    def walks(self) -> bool:
        """Whether the greedy figure counts: asked for, and known of both drafters."""
        return self.greedy and None not in (self.initial.greedy, self.adapted.greedy)

    @property
    def before(self) -> float | None:
        """Accepted length of the initial drafter on the held-out steps, as far as it is known."""
        return self.initial.greedy if self.walks else self.initial.sampled

    @property
    def after(self) -> float | None:
        """Accepted length of the adapted drafter on the held-out steps, as far as it is known."""
        return self.adapted.greedy if self.walks else self.adapted.sampled

    @property
    def error(self) -> float | None:
        """The standard error of the gain, over the held-out steps; ``None`` for a single one."""
        if self.walks:
            return gain_error(self.initial.greedy_parts, self.adapted.greedy_parts)
        return gain_error(self.initial.sampled_parts, self.adapted.sampled_parts)

    @property
    def better(self) -> bool:
        """Whether the adapted drafter wins by more than its gain's standard error.

        What is unknown is no win.
        """
        if self.before is None or self.after is None:
            return False
        return self.after - self.before > (self.error or 0.0)

    def describe(self) -> str:
        """One sentence with the figures."""
        way = "greedy" if self.walks else "at temperature 1"
        before, after = shown_figure(self.before), shown_figure(self.after)
        if before == after:  # too near to be told apart by what is usually shown
            before, after = shown_figure(self.before, 4), shown_figure(self.after, 4)
        if self.error is not None:
            way += f"; standard error of the gain {shown_figure(self.error)}"
        text = (
            f"accepted length on {self.steps} held-out steps {before} before, {after} after ({way})"
        )
        if self.replayed_initial is None or self.replayed_adapted is None:
            return text
        old, new = (
            shown_figure(tau.sampled) for tau in (self.replayed_initial, self.replayed_adapted)
        )
        return f"{text}; on replayed data {old} before, {new} after"


def measure(model: DraftModel, source: ExampleSource, numbers: Sequence[int]) -> OfflineTau:
    """Measure a drafter on some of a source's sequences; it is left in training mode."""
    model.eval()
    tau = offline_tau(model, with_greedy(source, numbers))
    model.train()
    return tau


def check_own_words(source: ExampleSource, traced: AbstractSet[str]) -> None:
    """Raise ``DataError`` where greedy outputs are not what the target itself would say.

    ``traced`` are the ids of the sequences to look at; those that were sampled say nothing.
    """
    agreed = compared = 0
    entries = [(index, source.entry(index)) for index in range(len(source))]
    greedy = [index for index, e in entries if e.id in traced and e.greedy]
    for index in greedy[:_CHECKED]:
        example = source.examples([index])[0]
        same = example.own_words
        agreed, compared = agreed + int(same.sum()), compared + same.numel()
    if compared and agreed < _OWN_SHARE * compared:
        raise DataError(
            f"The target would have chosen only {agreed / compared:.0%} of the tokens in the "
            "greedy outputs of these traces: another model wrote them. Give the target they were "
            "recorded with."
        )
