"""The writer of trace files: one JSON line per model call, on the disk when ``write`` returns."""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import stat
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from agentspark.errors import TraceWriteError
from agentspark.trace.fork_lock import ForkLock
from agentspark.trace.ledger import RunLedger
from agentspark.trace.record import StepRecord

if TYPE_CHECKING:
    from agentspark.trace.context import TraceContext

_log = logging.getLogger(__name__)


class Recorder:
    """Appends records to one file; threads and processes may share the file.

    Each record is one unbuffered append, so what was written survives the process being killed.
    A file that ends in the middle of a line (a kill, a full disk) is continued on a new line. Where
    the file was moved or deleted, the next record begins a new one at its path.

    Opening raises ``TraceWriteError`` where the file cannot be written, so a wrong path is found
    at the start. Later, tracing never costs a request: the first ``write`` that fails raises
    ``TraceWriteError``, which the engine logs; until the file can be written again, further
    records are only counted in ``lost``, of which closing logs a warning.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.lost = 0
        self._lock = ForkLock()
        self._failing = False
        # Where it is, whatever directory the process changes to.
        self._place = self.path.absolute()
        self._descriptor: int | None = None
        try:
            self._open()
        except OSError as error:
            raise self._error(error) from error

    @classmethod
    def choose(cls, trace: Recorder | str | Path | None, context: TraceContext) -> Recorder | None:
        """The recorder an engine should use; ``None`` is no tracing.

        The file that a comparison names in the environment wins over ``trace``: whatever the
        script asks for itself, its records must reach the comparison. From then on ``context``
        numbers steps together with all others of this process that write the file.
        """
        wanted = trace if context.trace is None else context.trace
        if wanted is None:
            return None
        recorder = wanted if isinstance(wanted, Recorder) else cls(wanted)
        context.number_by(recorder.ledger)
        return recorder

    def write(self, record: StepRecord) -> None:
        """Append one record, with the gap since its run's previous call where that is known.

        Raises ``TraceWriteError`` for the first record of a row that cannot be written.
        """
        with self._lock:
            try:
                self._follow()
                self._append(self.ledger.with_gap(record).to_json_line())
            except (OSError, ValueError) as error:  # ValueError: text that is not Unicode
                self.lost += 1
                if self._failing:
                    return
                self._failing = True
                raise self._error(error) from error
            self._failing = False

    @property
    def mark(self) -> str | None:
        """What tells this file from all others, those of other machines too; ``None`` if closed."""
        with self._lock:
            if self._descriptor is None:
                return None
            info = os.fstat(self._descriptor)
        place = f"{platform.node()}:{info.st_dev}:{info.st_ino}"
        return hashlib.sha256(place.encode()).hexdigest()[:16]

    def close(self) -> None:
        """Close the file; further writes raise ``TraceWriteError``. May be called again."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
                if self.lost:
                    _log.warning(
                        "%s lacks %d records that could not be written; the requests themselves "
                        "were not affected.", self.path, self.lost,
                    )  # fmt: skip

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> None:
        """Open the file at the path, made if need be, instead of the one that is open."""
        self._place.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        before, self._descriptor = self._descriptor, os.open(self._place, flags, 0o644)
        if before is not None:
            os.close(before)
        self._torn = self._ends_torn()
        empty = os.fstat(self._descriptor).st_size == 0
        self.ledger = RunLedger.of(self._place, empty=empty)

    def _follow(self) -> None:
        """Open the path's file again where it is another one by now: records would be lost."""
        if self._descriptor is None:
            return
        try:
            same = os.path.samestat(os.stat(self._place), os.fstat(self._descriptor))
        except FileNotFoundError:
            same = False
        if not same:
            self._open()

    def _append(self, line: bytes) -> None:
        if self._descriptor is None:
            raise OSError(0, "the recorder is closed")
        data = b"\n" + line if self._torn else line
        # One call, so that lines of several writers do not mix; short only when the disk is full.
        written = os.write(self._descriptor, data)
        self._torn = 0 < written < len(data) or (self._torn and written == 0)
        if written < len(data):
            raise OSError(0, "the disk took only a part of the record")

    def _ends_torn(self) -> bool:
        if self._descriptor is None:
            return False
        info = os.fstat(self._descriptor)
        if not stat.S_ISREG(info.st_mode) or info.st_size == 0:
            return False
        os.lseek(self._descriptor, -1, os.SEEK_END)
        return os.read(self._descriptor, 1) != b"\n"

    def _error(self, error: OSError | ValueError) -> TraceWriteError:
        if isinstance(error, ValueError):
            return TraceWriteError(
                f"A record for {self.path} cannot be written as JSON: {error}. Check the labels."
            )
        return TraceWriteError(
            f"The trace file {self.path} cannot be written: {error.strerror}. Free some space or "
            "choose another path; the requests themselves are not affected."
        )
