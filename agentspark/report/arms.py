"""Running one script in one arm, as a process of its own."""

from __future__ import annotations

import locale
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from agentspark.errors import ArmFailedError, TraceWriteError
from agentspark.report.child import run_child
from agentspark.trace.context import TraceContext
from agentspark.trace.reader import TraceFile, read_trace
from agentspark.trace.record import Arm
from agentspark.trace.runs import run_label

_TAIL_LINES = 15
# A log may be of any length, and a line of it too.
_TAIL_BYTES = 8_000


@dataclass(frozen=True, slots=True)
class ArmRun:
    """One finished run of the script; ``seconds`` includes its start and loading the model."""

    arm: Arm
    repeat: int
    seconds: float
    trace: TraceFile


def run_arm(
    command: Sequence[str], out_dir: Path, *, arm: Arm, repeat: int, tokens: bool = False
) -> ArmRun:
    """Run ``command`` with the environment of its arm; its calls land in ``out_dir/traces``.

    ``tokens`` puts the token ids of prompts and outputs into the records.

    What it prints goes to ``out_dir/logs``. Its standard input is closed: a comparison runs the
    script several times, with nobody to answer. Raises ``ArmFailedError`` where the command
    cannot start, ends with an error, or recorded no model call.
    """
    name = f"{arm}-{repeat}"
    trace = out_dir / "traces" / f"{name}.jsonl"
    logs = {kind: out_dir / "logs" / f"{name}.{kind}.txt" for kind in ("stdout", "stderr")}
    run = run_label(script_name(command), repeat)
    context = TraceContext(arm=arm, trace=trace, run=run, tokens=tokens)
    started = time.monotonic()
    try:
        for path in (trace, *logs.values()):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        with logs["stdout"].open("wb") as out, logs["stderr"].open("wb") as err:
            code = _run(command, context, out.fileno(), err.fileno())
    except OSError as error:
        raise TraceWriteError(
            f"The folder {out_dir} cannot be written to: {error.strerror}. Free some space or "
            "choose another one."
        ) from error
    seconds = time.monotonic() - started
    if code != 0:
        printed = _tail(logs["stderr"]) or _tail(logs["stdout"])
        told = f"The end of what it printed (all of it: {logs['stderr']}):\n{printed}"
        raise ArmFailedError(
            f"{_shown(command)} failed in the {arm} arm, repetition {repeat}: it "
            f"{_ending(code)}. Mend it and start again. "
            f"{told if printed else 'It printed nothing.'}"
        )
    if not trace.exists() or not (found := read_trace(trace)).records:
        raise ArmFailedError(
            f"{_shown(command)} recorded no model call in the {arm} arm, repetition {repeat}. It "
            "must call its model through agentspark (ChatDSpark, Engine, openai_dspark.Client), in "
            "a process that inherits the environment."
        )
    return ArmRun(arm, repeat, seconds, found)


def script_name(command: Sequence[str]) -> str:
    """What to call the run: the Python file's or module's name, or that of the program."""
    python = any(Path(word).name.startswith("python") for word in command)
    for before, word in pairwise(command):
        if word.endswith(".py"):
            return Path(word).stem
        if before == "-m" and python:
            return word
    return Path(command[0]).stem


def _run(command: Sequence[str], context: TraceContext, out: int, err: int) -> int:
    environment = {**os.environ, **context.to_environment()}
    try:
        return run_child(command, environment, out, err)
    except OSError as error:
        raise ArmFailedError(
            f"{_shown(command)} cannot be started: {error.strerror}. Check the command after --."
        ) from error


def _ending(code: int) -> str:
    if code > 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        text = file.read().decode(locale.getencoding(), errors="replace")
    return "\n".join(text.rstrip().splitlines()[-_TAIL_LINES:])


def _shown(command: Sequence[str]) -> str:
    return f"'{' '.join(command)}'"
