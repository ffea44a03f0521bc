"""From records to the summary: the one place where a comparison is put together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from agentspark.errors import PairingError
from agentspark.report.clock import by_unit, wall_time
from agentspark.report.measures import arm_totals, step_side, step_speedup, total_speedup
from agentspark.report.notes import currency_notes, find_notes, price_notes
from agentspark.report.pairing import Pairing, StepPair, pair_records
from agentspark.report.setup import common, setup_of
from agentspark.report.statistics import CONFIDENCE, bootstrap_interval
from agentspark.report.steps import by_step
from agentspark.report.summary import (
    Counts,
    Group,
    Interval,
    Note,
    OddReason,
    OddStep,
    StepRow,
    Summary,
)
from agentspark.report.timeline import build_timeline
from agentspark.trace.cost import DEFAULT_PRICES, PriceTable, cost_of
from agentspark.trace.record import ARMS, StepRecord

TITLE = "Accelerated against baseline"


def summarize(
    records: Iterable[StepRecord],
    *,
    title: str = TITLE,
    prices: PriceTable | None = None,
    notes: Sequence[Note] = (),
) -> Summary:
    """Compare the two arms found in ``records``.

    ``prices`` replaces the costs in the records; where neither gives any, ``DEFAULT_PRICES`` do.
    Costs in several currencies are left out. ``notes`` are shown before the ones found here, as
    that no price applies.
    Raises ``PairingError`` where an arm is missing, nothing pairs, or no pair succeeded.
    """
    records, given = list(records), prices
    if prices is None and all(record.cost is None for record in records):
        prices = DEFAULT_PRICES
    if prices is not None:
        records = [r.model_copy(update={"cost": cost_of(r, prices)}) for r in records]
    records, currencies = _in_one_currency(records)
    pairing = pair_records(records)
    compared = pairing.compared
    if not compared:
        raise PairingError(
            "Every paired step failed or was cancelled in one of the arms, so there is nothing to "
            "compare. The records' error fields say why."
        )
    walls = {arm: wall_time(pairing, arm) for arm in ARMS}
    sides: dict[str, list[StepRecord]] = {
        arm: [getattr(pair, arm) for pair in compared] for arm in ARMS
    }
    steps = by_step(compared)
    interval = bootstrap_interval(steps)
    both = [record for arm in ARMS for record in sides[arm]]
    return Summary(
        title=title,
        created_at=datetime.now(UTC),
        measured_from=min(record.started_at for record in both),
        measured_to=max(_ended(record) for record in both),
        counts=_counts(compared, len(steps)),
        outputs_identical=all(pair.outputs_identical is True for pair in compared),
        speedup=total_speedup(compared, walls["baseline"], walls["accelerated"]),
        speedup_interval=interval
        and Interval(low=interval[0], high=interval[1], confidence=CONFIDENCE),
        arms={arm: arm_totals(sides[arm], walls[arm]) for arm in ARMS},
        setup={arm: setup_of(sides[arm]) for arm in ARMS},
        steps=[_row(pairs) for pairs in steps],
        kinds=_kinds(compared),
        starts=_starts(compared),
        odd=_odd(pairing),
        notes=[
            *notes,
            *(price_notes(given, both) if given is not None else []),
            *currency_notes(currencies),
            *find_notes(pairing),
        ],
        timeline=build_timeline(pairing),
        prices=prices,
        environment=list({r.environment: None for r in both if r.environment is not None}),
    )


def _in_one_currency(records: list[StepRecord]) -> tuple[list[StepRecord], set[str]]:
    """The records, without their costs where these are in several currencies; and which."""
    found = {record.cost.currency for record in records if record.cost is not None}
    if len(found) > 1:
        records = [record.model_copy(update={"cost": None}) for record in records]
    return records, found


def _row(pairs: Sequence[StepPair]) -> StepRow:
    first = pairs[0]
    return StepRow(
        run=first.run,
        step=first.step,
        step_name=first.baseline.step_name or first.accelerated.step_name,
        step_kind=first.baseline.step_kind or first.accelerated.step_kind,
        repeats=len(pairs),
        baseline=step_side([pair.baseline for pair in pairs]),
        accelerated=step_side([pair.accelerated for pair in pairs]),
        speedup=step_speedup(pairs),
        outputs_identical=_all_of(pair.outputs_identical for pair in pairs),
        prompts_identical=_all_of(pair.prompts_identical for pair in pairs),
        first_divergence=next((d for pair in pairs if (d := pair.divergence()) is not None), None),
    )


def _all_of(answers: Iterable[bool | None]) -> bool | None:
    """False where one is false, else unknown where one is unknown."""
    given = set(answers)
    return False if False in given else common(given)


def _group(name: str, pairs: Sequence[StepPair]) -> Group:
    return Group(
        name=name,
        calls=len(pairs),
        speedup=total_speedup(pairs),
        baseline=arm_totals([pair.baseline for pair in pairs]),
        accelerated=arm_totals([pair.accelerated for pair in pairs]),
    )


def _kinds(pairs: Iterable[StepPair]) -> list[Group]:
    kinds: dict[str | None, list[StepPair]] = defaultdict(list)
    for pair in pairs:
        kinds[pair.baseline.step_kind or pair.accelerated.step_kind].append(pair)
    if kinds.keys() == {None}:
        return []
    return [_group(kind or "other", members) for kind, members in kinds.items()]


def _starts(pairs: Iterable[StepPair]) -> list[Group]:
    """Runs apart by whether their first accelerated call found any of its prompt cached."""
    starts: dict[str, list[StepPair]] = {"cold": [], "warm": []}
    for members in by_unit(pairs).values():
        first = min(members, key=lambda pair: pair.accelerated.started_at)
        if first.accelerated.cached_tokens is not None:
            starts["warm" if first.accelerated.cached_tokens else "cold"] += members
    return [_group(name, members) for name, members in starts.items() if members]


def _odd(pairing: Pairing) -> list[OddStep]:
    failed = [
        record
        for pair in pairing.pairs
        for record in (pair.baseline, pair.accelerated)
        if not record.succeeded
    ]
    reasons: tuple[tuple[OddReason, list[StepRecord]], ...] = (
        ("unpaired", pairing.unpaired),
        ("failed", failed),
        ("other arm", pairing.ignored),
    )
    return [
        OddStep(
            run=record.run,
            repeat=record.repeat,
            step=record.step,
            step_name=record.step_name,
            arm=record.arm,
            reason=reason,
            error=record.error,
        )
        for reason, records in reasons
        for record in records
    ]


def _counts(compared: Sequence[StepPair], steps: int) -> Counts:
    repeats = Counter(run for run, _ in {(pair.run, pair.repeat) for pair in compared})
    same = [pair.outputs_identical for pair in compared]
    return Counts(
        runs=len(repeats),
        repeats=max(repeats.values()),
        steps=steps,
        pairs=len(compared),
        identical=same.count(True),
        different=same.count(False),
        unknown=same.count(None),
    )


def _ended(record: StepRecord) -> datetime:
    return record.started_at + timedelta(milliseconds=record.total_ms or 0.0)
