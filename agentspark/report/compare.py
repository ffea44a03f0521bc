"""What ``agentspark compare`` does: two trace files, or one script run in both arms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentspark.errors import ConfigError, PairingError
from agentspark.report.arms import ArmRun, run_arm, script_name
from agentspark.report.format import named
from agentspark.report.notes import warning
from agentspark.report.summarize import TITLE, summarize
from agentspark.report.summary import Note, Summary
from agentspark.report.write import ReportPaths, write_summary
from agentspark.trace.cost import PriceTable
from agentspark.trace.reader import TraceFile, read_trace
from agentspark.trace.record import ARMS, Arm, StepRecord


@dataclass(frozen=True, slots=True)
class Comparison:
    """A written comparison."""

    summary: Summary
    paths: ReportPaths


def compare_files(
    baseline: str | Path,
    accelerated: str | Path | None,
    out_dir: str | Path,
    *,
    title: str = TITLE,
    prices: PriceTable | None = None,
) -> Comparison:
    """Compare two trace files, or the two arms in one (``accelerated`` is ``None``).

    Of two files the first is the baseline and the second the accelerated arm, whatever arm their
    records name, so that any two settings can be compared. Raises ``PairingError`` where the
    files are in the wrong order, hold the same calls or do not match, ``TraceError`` where one
    cannot be read.
    """
    files = [read_trace(path) for path in (baseline, accelerated) if path is not None]
    notes = _each_once(files)
    records = files[0].records
    if len(files) > 1:
        _check_order(*files)
        records = [*_in_arm(records, "baseline"), *_in_arm(files[1].records, "accelerated")]
    return _compare(records, files, out_dir, title, prices, notes)


def compare_script(
    command: Sequence[str],
    out_dir: str | Path,
    *,
    repeats: int = 1,
    title: str | None = None,
    prices: PriceTable | None = None,
    tokens: bool = False,
    before_run: Callable[[Arm, int], None] | None = None,
    after_run: Callable[[ArmRun], None] | None = None,
) -> Comparison:
    """Run a script ``repeats`` times in each arm, in turns, and compare.

    The arms alternate (baseline, accelerated, baseline, ...) so that a machine that slows down
    or warms up does so for both. ``tokens`` keeps token ids in the traces (private data). The
    callbacks are for showing progress. ``out_dir`` must be this comparison's alone while it runs.
    Raises ``ArmFailedError`` where the script fails or records nothing; see ``run_arm``.
    """
    if not command:
        raise ConfigError("No command to compare: give it after --, as in -- python my_agent.py.")
    if repeats < 1:
        raise ConfigError(f"repeats={repeats} cannot be used: give a whole number of at least 1.")
    runs: list[ArmRun] = []
    for repeat in range(1, repeats + 1):
        for arm in ARMS:
            if before_run is not None:
                before_run(arm, repeat)
            runs.append(run_arm(command, Path(out_dir), arm=arm, repeat=repeat, tokens=tokens))
            if after_run is not None:
                after_run(runs[-1])
    records = [
        record if record.repeat is not None else record.model_copy(update={"repeat": run.repeat})
        for run in runs
        for record in _in_arm(run.trace.records, run.arm)
    ]
    title = f"{script_name(command)}: accelerated against baseline" if title is None else title
    return _compare(records, [run.trace for run in runs], out_dir, title, prices)


def _compare(
    records: Iterable[StepRecord],
    files: Sequence[TraceFile],
    out_dir: str | Path,
    title: str,
    prices: PriceTable | None,
    notes: Sequence[Note] = (),
) -> Comparison:
    told = [*torn_notes(files), *notes]
    summary = summarize(records, title=title, prices=prices, notes=told)
    return Comparison(summary, write_summary(summary, out_dir))


def torn_notes(files: Iterable[TraceFile]) -> list[Note]:
    """A warning for each trace file that lost records to a kill or a full disk."""
    return [
        warning(
            f"{file.path.name} has {named(len(file.torn_lines), 'line')} cut short (a kill, a "
            "full disk or a power cut); the calls behind them are lost."
        )
        for file in files
        if file.torn_lines
    ]


def _each_once(files: Iterable[TraceFile]) -> list[Note]:
    """Leave out what a file holds again, as where one was joined to another; warn of it.

    A call has an id of its own, so counting it twice would make chance look certain.
    """
    notes = []
    for file in files:
        once: dict[str, StepRecord] = {}
        for record in file.records:
            once.setdefault(record.id, record)
        repeated = len(file.records) - len(once)
        if repeated:
            file.records = list(once.values())
            notes.append(
                warning(
                    f"{file.path.name} holds {named(repeated, 'call')} more than once; each is "
                    "counted once."
                )
            )
    return notes


def _check_order(baseline: TraceFile, accelerated: TraceFile) -> None:
    for file in (baseline, accelerated):
        if not file.records:
            raise PairingError(f"{file.path} holds no records, so there is nothing to compare.")
    first, second = ({record.arm for record in file.records} for file in (baseline, accelerated))
    if first == {"accelerated"} and second == {"baseline"}:
        raise PairingError(
            f"{baseline.path} holds the accelerated arm and {accelerated.path} the baseline. Give "
            "the baseline first."
        )
    for file, arms in ((baseline, first), (accelerated, second)):
        if set(ARMS) <= arms:
            raise PairingError(
                f"{file.path} holds both arms. Give it alone to compare the arms in it."
            )
    shared = {record.id for record in baseline.records} & {r.id for r in accelerated.records}
    if shared:
        raise PairingError(
            f"{baseline.path} and {accelerated.path} hold {named(len(shared), 'call')} that "
            f"{'is' if len(shared) == 1 else 'are'} the same, and a call belongs to one arm. Give "
            "a file for each arm."
        )


def _in_arm(records: Iterable[StepRecord], arm: Arm) -> list[StepRecord]:
    return [
        record if record.arm == arm else record.model_copy(update={"arm": arm})
        for record in records
    ]
