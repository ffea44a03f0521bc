"""What a reader must know before believing the numbers, found in the records themselves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from agentspark.report.clock import busy_seconds
from agentspark.report.format import duration, named
from agentspark.report.pairing import Pairing, StepPair
from agentspark.report.setup import run_name
from agentspark.report.summary import Note
from agentspark.trace.cost import PriceTable, device_kind
from agentspark.trace.record import ARMS, Arm, StepRecord

_NAMED = 3
# Clocks are coarse, and a call's last moments are its engine's tidying up.
_SHARED = 0.01


def find_notes(pairing: Pairing) -> list[Note]:
    """Warnings first, then remarks."""
    notes = [note for check in _CHECKS for note in check(pairing)]
    return sorted(notes, key=lambda note: note.level != "warning")


def price_notes(prices: PriceTable, records: Sequence[StepRecord]) -> list[Note]:
    """A warning where a table has prices, as for a device, and none of the records meets them.

    ``records`` hold their costs by that table.
    """
    ran_on = {device_kind(record) for record in records}
    if prices.machine_hour and not ran_on & prices.machine_hour.keys():
        devices = _listed(kind or None for kind in ran_on)
        return [
            warning(
                f"The price table has no machine price that applies: it names "
                f"{_listed(prices.machine_hour)}, and the calls ran on: {devices}. Name machine "
                "prices by the kind of device, as in cpu or cuda."
            )
        ]
    if all(record.cost is None or record.cost.total is None for record in records):
        return [
            warning(
                "No price of the price table applies to any call, so costs are unknown. Give "
                "prices for tokens (prompt, cached, completion) or for the machine (machine_hour)."
            )
        ]
    return []


def currency_notes(currencies: Collection[str]) -> list[Note]:
    """A warning where the traces have costs in more than one currency."""
    if len(currencies) < 2:
        return []
    return [
        warning(
            f"The traces have costs in several currencies ({_listed(currencies)}), which cannot be "
            "added up, so they are left out. Give a price table to have them in one."
        )
    ]


def warning(text: str) -> Note:
    """Something that changes what the numbers mean."""
    return Note(level="warning", text=text)


def remark(text: str) -> Note:
    """Something worth knowing."""
    return Note(level="info", text=text)


def _outputs(pairing: Pairing) -> Iterator[Note]:
    compared = pairing.compared
    parted = [pair for pair in compared if pair.outputs_identical is False]
    if parted:
        yield warning(
            f"Outputs differ in {len(parted)} of {len(compared)} compared steps "
            f"({_some(parted)}), so these did not do the same work: compare their tokens per "
            "second instead of their times."
        )
    unknown = sum(pair.outputs_identical is None for pair in compared)
    if unknown:
        yield warning(
            "Without an output hash, so that it is unknown whether outputs agree: "
            f"{_steps(unknown)}."
        )
    asked = [pair for pair in compared if pair.prompts_identical is False]
    if asked:
        yield warning(
            f"The arms were asked different things in {_steps(len(asked))} ({_some(asked)}): their "
            "prompts differ, as happens after an output that differs or a tool that answered "
            "differently."
        )


def _missing(pairing: Pairing) -> Iterator[Note]:
    if pairing.unpaired:
        arms = [f"{sum(r.arm == arm for r in pairing.unpaired)} {arm}" for arm in ARMS]
        yield warning(
            "Without a counterpart in the other arm, and left out of every number: "
            f"{_steps(len(pairing.unpaired))} ({', '.join(arms)})."
        )
    failed = [pair for pair in pairing.pairs if not pair.succeeded]
    if failed:
        yield warning(
            "Failed or cancelled in at least one arm, and left out of every number: "
            f"{_steps(len(failed))} ({_some(failed)})."
        )
    if pairing.ignored:
        yield warning(
            "Of neither arm, and left out of every number: "
            f"{named(len(pairing.ignored), 'record')}."
        )
    if pairing.runs_by_order:
        yield remark(
            "No run has the same name in both arms; runs were matched in the order they started."
        )


def _settings(pairing: Pairing) -> Iterator[Note]:
    for what, read in _MUST_AGREE.items():
        baseline, accelerated = (_values(pairing, arm, read) for arm in ARMS)
        if baseline != accelerated:
            yield warning(
                f"The arms differ in {what} (baseline: {_listed(baseline)}; accelerated: "
                f"{_listed(accelerated)}), which the speed-up includes."
            )
    exact = _values(pairing, "accelerated", lambda record: record.options.exact)
    if exact == {False}:
        yield remark("Exact mode was off: outputs may differ by rounding.")


def _plain_baseline(pairing: Pairing) -> Iterator[Note]:
    baseline = [pair.baseline for pair in pairing.compared]
    drafting = sum(bool(record.draft_tokens) for record in baseline)
    if drafting:
        yield warning(f"The baseline is not plain decoding: {_steps(drafting)} of it used drafts.")
    cached = sum(bool(record.cached_tokens) for record in baseline)
    if cached:
        yield warning(
            f"The baseline reused cached prompt tokens in {_steps(cached)}: the gain of prefix "
            "sharing is not all in the speed-up."
        )


def _same_work(pairing: Pairing) -> Iterator[Note]:
    ways = {
        (options.speculation, options.share_prefix)
        for pair in pairing.compared
        for options in (pair.baseline.options, pair.accelerated.options)
    }
    drafting = [any(getattr(pair, arm).draft_tokens for pair in pairing.compared) for arm in ARMS]
    if ways == {(None, None)} and drafting[0] == drafting[1]:
        yield warning(
            "No call says how it was accelerated, as of servers other than agentspark's: the arms "
            "differ in nothing unless each had a server of its own."
        )


def _at_once(pairing: Pairing) -> Iterator[Note]:
    arms = [[getattr(pair, arm) for pair in pairing.compared] for arm in ARMS]
    both_s = busy_seconds(call for calls in arms for call in calls)
    shared_s = sum(busy_seconds(calls) for calls in arms) - both_s
    if shared_s > _SHARED * both_s:
        yield warning(
            f"Calls of both arms ran at the same time, for {duration(shared_s * 1e3)} of "
            f"{duration(both_s * 1e3)}: where they shared a machine, each slowed the other. Run "
            "the arms one after the other."
        )


def _partly_priced(pairing: Pairing) -> Iterator[Note]:
    for arm in ARMS:
        costs = [getattr(pair, arm).cost for pair in pairing.compared]
        unknown = sum(cost is None or cost.total is None for cost in costs)
        if 0 < unknown < len(costs):
            yield warning(
                f"What {unknown} of {named(len(costs), 'call')} of the {arm} arm cost is unknown, "
                "so its cost is too low: its token counts or its device were not recorded."
            )


def _warm_starts(pairing: Pairing) -> Iterator[Note]:
    repeats = {pair.repeat for pair in pairing.compared}
    warm = {
        (pair.run, pair.repeat)
        for pair in pairing.compared
        if pair.step == 1 and (pair.accelerated.cached_tokens or 0) > 0
    }
    if warm and len(repeats) > 1:
        yield warning(
            f"Of the accelerated runs, {len(warm)} started with part of the prompt already cached, "
            "perhaps by an earlier repetition, whose outputs may also have served as drafts. Cold "
            "and warm starts are shown apart below; give each repetition its own cache salt to "
            "measure cold starts only."
        )


def _settings_value(name: str) -> Callable[[StepRecord], object]:
    return lambda record: getattr(record.options, name)


_CHECKS = (
    _outputs,
    _missing,
    _settings,
    _at_once,
    _plain_baseline,
    _same_work,
    _partly_priced,
    _warm_starts,
)
_MUST_AGREE: dict[str, Callable[[StepRecord], object]] = {
    "model": lambda record: record.model,
    "what answered": lambda record: record.answered_by,
    "data type": _settings_value("dtype"),
    "device": _settings_value("device"),
    "exact mode": _settings_value("exact"),
    "sampling": lambda record: record.sampling,
    "processor": lambda record: record.environment and record.environment.processor,
    "accelerator": lambda record: record.environment and record.environment.accelerator,
}


def _values(pairing: Pairing, arm: Arm, read: Callable[[StepRecord], object]) -> set[object]:
    return {read(getattr(pair, arm)) for pair in pairing.compared}


def _listed(values: Iterable[object]) -> str:
    return ", ".join(sorted("unknown" if value is None else str(value) for value in values))


def _steps(count: int) -> str:
    return named(count, "step")


def _some(pairs: list[StepPair]) -> str:
    named = [f"{run_name(pair.run, pair.repeat)}, step {pair.step}" for pair in pairs[:_NAMED]]
    more = len(pairs) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more else "")
