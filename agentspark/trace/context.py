"""What a comparison tells the scripts it runs: the arm, the run and where to write the trace.

This is the one place where those environment variables are read and written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from agentspark.errors import ConfigError
from agentspark.trace.detail import Detail
from agentspark.trace.ledger import RunLedger
from agentspark.trace.record import ARMS, Arm
from agentspark.trace.runs import run_label, split_run

ARM_VARIABLE = "AGENTSPARK_ARM"
TRACE_VARIABLE = "AGENTSPARK_TRACE"
RUN_VARIABLE = "AGENTSPARK_RUN"
TOKENS_VARIABLE = "AGENTSPARK_TRACE_TOKENS"


class Place(NamedTuple):
    """Where one call stands: its run, its step in that, its arm."""

    run: str | None
    step: int | None
    arm: str | None


class TraceContext:
    """The arm, run and trace file that apply to this process; all may be ``None``.

    ``tokens`` asks for the token ids of prompts and outputs in every record (private data).

    An engine asks it at the submission of each request: ``place`` says where the call stands.
    Thread-safe.
    """

    def __init__(
        self,
        *,
        arm: Arm | None = None,
        trace: Path | None = None,
        run: str | None = None,
        tokens: bool = False,
    ) -> None:
        self.arm = arm
        self.trace = trace
        self.run = run
        self.tokens = tokens
        self._ledger = RunLedger()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> TraceContext:
        """Read ``AGENTSPARK_ARM``, ``_TRACE``, ``_RUN`` and ``_TRACE_TOKENS``; empty is unset.

        Raises ``ConfigError`` where the arm is none of ``baseline`` and ``accelerated``, and where
        ``AGENTSPARK_TRACE_TOKENS`` is neither 1 nor 0.
        """
        given = os.environ if environment is None else environment
        name = given.get(ARM_VARIABLE) or None
        arm = next((arm for arm in ARMS if arm == name), None)
        if name is not None and arm is None:
            raise ConfigError(f"{ARM_VARIABLE}={name!r} is no arm: use {' or '.join(ARMS)}.")
        tokens = given.get(TOKENS_VARIABLE) or "0"
        if tokens not in ("0", "1"):
            raise ConfigError(f"{TOKENS_VARIABLE}={tokens!r} cannot be read: use 1 or 0.")
        trace = given.get(TRACE_VARIABLE)
        return cls(
            arm=arm,
            trace=Path(trace) if trace else None,
            run=given.get(RUN_VARIABLE) or None,
            tokens=tokens == "1",
        )

    def to_environment(self) -> dict[str, str]:
        """The variables that give a child process this context."""
        given = {
            ARM_VARIABLE: self.arm,
            TRACE_VARIABLE: None if self.trace is None else str(self.trace.resolve()),
            RUN_VARIABLE: self.run,
            TOKENS_VARIABLE: "1" if self.tokens else None,
        }
        return {name: value for name, value in given.items() if value is not None}

    def number_by(self, ledger: RunLedger) -> None:
        """Number steps by ``ledger`` from now on: that of the file the records go to."""
        self._ledger = ledger

    def detail(self, tokens: bool = False, *, exact: bool = True) -> Detail:
        """What records should carry: in an arm the output ids, to say where outputs part.

        ``tokens`` is whether the caller asks for all ids, as this context may. Where the engine
        is not ``exact``, outputs may part, and margins say by how little.
        """
        every = tokens or self.tokens
        outputs = every or self.arm is not None
        return Detail(
            prompt_token_ids=every, output_token_ids=outputs, output_margins=outputs and not exact
        )

    def place(
        self, *, run: str | None = None, step: int | None = None, arm: str | None = None
    ) -> Place:
        """Complete where a call says it stands, in the order of submission.

        This context's arm wins over the call's one. The run stays the script's own where it
        names one, with this context's repetition; a call of a known run that has no step number
        gets the run's next one, from 1, counted over all engines that write the same file.
        """
        run, arm = self._run(run), self.arm or arm
        if run is not None:
            step = self._ledger.next_step(run, arm, step)
        return Place(run, step, arm)

    def _run(self, run: str | None) -> str | None:
        repeat = split_run(self.run)[1]
        if run is None or repeat is None or split_run(run)[1] is not None:
            return self.run if run is None else run
        return run_label(run, repeat)
