"""Which call of the one arm answers which call of the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from agentspark.common import common_prefix
from agentspark.errors import PairingError
from agentspark.report.matching import Numbered, match
from agentspark.report.summary import FirstDivergence
from agentspark.trace.hashing import same_hash
from agentspark.trace.record import ARMS, StepRecord

Value = TypeVar("Value")

# A run of one repetition: (run, repeat).
Unit = tuple[str | None, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPair:
    """The same step of an agent in both arms. ``step`` counts from 1."""

    run: str | None
    repeat: int | None
    step: int
    baseline: StepRecord
    accelerated: StepRecord

    @property
    def outputs_identical(self) -> bool | None:
        """Whether both arms gave the same tokens; ``None`` where that is not known."""
        return same_hash(self.baseline.output_hash, self.accelerated.output_hash)

    @property
    def prompts_identical(self) -> bool | None:
        """Whether both arms were asked the same; ``None`` where that is not known."""
        return same_hash(self.baseline.prompt_hash, self.accelerated.prompt_hash)

    @property
    def succeeded(self) -> bool:
        """Whether both calls ran to their own end, so that their times can be compared."""
        return self.baseline.succeeded and self.accelerated.succeeded

    def divergence(self) -> FirstDivergence | None:
        """The first differing token; ``None`` for equal outputs or records without token ids."""
        ours, theirs = self.baseline.output_token_ids, self.accelerated.output_token_ids
        if ours is None or theirs is None or ours == theirs:
            return None
        position = common_prefix(ours, theirs)
        return FirstDivergence(
            position=position,
            baseline_token=_at(ours, position),
            accelerated_token=_at(theirs, position),
            baseline_margin=_at(self.baseline.output_margins, position),
            accelerated_margin=_at(self.accelerated.output_margins, position),
        )


@dataclass(slots=True)
class Pairing:
    """Every record once: in a pair, without a partner, or of neither arm.

    ``incomplete`` are the runs, named as in ``pairs``, that miss a pair or have one that did not
    succeed. ``runs_by_order`` says that no run had the same name in both arms, so that runs were
    matched in the order in which they started.
    """

    pairs: list[StepPair] = field(default_factory=list)
    unpaired: list[StepRecord] = field(default_factory=list)
    ignored: list[StepRecord] = field(default_factory=list)
    incomplete: set[Unit] = field(default_factory=set)
    runs_by_order: bool = False

    @property
    def compared(self) -> list[StepPair]:
        """The pairs whose times count: both calls succeeded."""
        return [pair for pair in self.pairs if pair.succeeded]


def pair_records(records: Iterable[StepRecord]) -> Pairing:
    """Pair the arms step by step by run, repetition and step.

    Within a run, calls pair as ``match`` says: by step number and prompt, then by prompt alone
    (branches that ran in another order), then by step number with prompts that differ
    (``prompts_identical`` tells). Calls without a step number are counted in the order they
    started. Raises ``PairingError`` where an arm is empty or nothing pairs.
    """
    pairing = Pairing()
    arms: dict[str, dict[Unit, list[StepRecord]]] = {arm: defaultdict(list) for arm in ARMS}
    for record in sorted(records, key=lambda record: record.started_at):
        if record.arm in arms:
            arms[record.arm][record.run, record.repeat].append(record)
        else:
            pairing.ignored.append(record)
    _require_both(arms)
    baseline, accelerated = arms["baseline"], arms["accelerated"]
    pairing.runs_by_order = not baseline.keys() & accelerated.keys()
    if pairing.runs_by_order:
        renamed = zip(accelerated.values(), [*baseline, *accelerated], strict=False)
        accelerated = {unit: calls for calls, unit in renamed}
    for unit in {**baseline, **accelerated}:
        _pair_unit(pairing, unit, baseline.get(unit, []), accelerated.get(unit, []))
    if not pairing.pairs:
        raise PairingError(
            "No step of the baseline arm has its counterpart in the accelerated arm. Check that "
            "both traces come from the same work."
        )
    return pairing


def _require_both(arms: dict[str, dict[Unit, list[StepRecord]]]) -> None:
    for arm, units in arms.items():
        if not units:
            raise PairingError(
                f"There are no records of the {arm} arm, so there is nothing to compare. Record "
                f"the same work with the {arm} arm and give both."
            )


def _pair_unit(
    pairing: Pairing, unit: Unit, baseline: list[StepRecord], accelerated: list[StepRecord]
) -> None:
    left, right = _numbered(baseline), _numbered(accelerated)
    found = match(left, right)
    for ours, theirs in found:
        step, record = left[ours]
        pairing.pairs.append(
            StepPair(
                run=unit[0],
                repeat=unit[1],
                step=step,
                baseline=record,
                accelerated=right[theirs][1],
            )
        )
    taken, given = ({pair[side] for pair in found} for side in (0, 1))
    alone = [record for at, (_, record) in enumerate(left) if at not in taken]
    alone += [record for at, (_, record) in enumerate(right) if at not in given]
    pairing.unpaired += alone
    # Told here: a run that was matched by order has another name in its own records.
    if alone or not all(left[one][1].succeeded and right[two][1].succeeded for one, two in found):
        pairing.incomplete.add(unit)


def _numbered(records: list[StepRecord]) -> list[Numbered]:
    return [
        (place if record.step is None else record.step, record)
        for place, record in enumerate(records, start=1)
    ]


def _at(values: list[Value] | None, position: int) -> Value | None:
    return values[position] if values is not None and position < len(values) else None
