"""A process that this one waits for, and that must not outlive it."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

# How long a process may take to end once it was asked to.
GRACE_S = 10.0


def run_child(
    command: Sequence[str], environment: Mapping[str, str], stdout: int, stderr: int
) -> int:
    """Run ``command`` to its end and return its exit code, negative for a signal.

    ``stdout`` and ``stderr`` are file descriptors; standard input is closed. SIGTERM to this
    process goes to the command first, which is killed where it has not ended after ``GRACE_S`` or
    at a second SIGTERM; then it takes its usual course here, which as a rule ends this process
    too. Ctrl-C reaches both by itself. Raises ``OSError`` where the command cannot be started.
    """
    with (
        _terminated_first() as ending,
        subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=environment
        ) as process,
    ):
        try:
            ending.take(process)
            return process.wait()
        except BaseException:
            process.kill()
            raise


class _Ending:
    """What SIGTERM does while a command runs; ``asked`` tells whether it came."""

    def __init__(self) -> None:
        self.asked = False
        self._process: subprocess.Popen[bytes] | None = None
        self._killer: threading.Timer | None = None

    def take(self, process: subprocess.Popen[bytes]) -> None:
        """The process to end; at once where the signal came while it was being started."""
        self._process = process
        if self.asked:
            self._end(process)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The handler of SIGTERM."""
        self.asked = True
        if self._process is not None:
            self._end(self._process)

    def close(self) -> None:
        """Kill nothing any more."""
        if self._killer is not None:
            self._killer.cancel()

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if self._killer is not None:
            process.kill()
            return
        process.terminate()
        self._killer = threading.Timer(GRACE_S, process.kill)
        self._killer.daemon = True
        self._killer.start()


@contextmanager
def _terminated_first() -> Iterator[_Ending]:
    """Hold SIGTERM back from this process until the command has ended.

    Only where it would end the process and the main thread is here to take it.
    """
    ending = _Ending()
    before = signal.getsignal(signal.SIGTERM)
    main = threading.current_thread() is threading.main_thread()
    if not main or before in (signal.SIG_IGN, None):
        yield ending
        return
    signal.signal(signal.SIGTERM, ending.on_signal)
    try:
        yield ending
    finally:
        ending.close()
        signal.signal(signal.SIGTERM, before)
        if ending.asked:
            signal.raise_signal(signal.SIGTERM)
