"""What a comparison started does not go on when the comparison is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agentspark.report.child import run_child

WAITS = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + WAITS
PARENT = """
import os, sys
from agentspark.report import child
child.GRACE_S = 0.1
child.run_child([sys.executable, "-c", *sys.argv[1:]], os.environ, 1, 2)
print("went on")
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


def wait_for(path: Path) -> None:
    until = time.monotonic() + 30
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert path.exists()


def test_sigterm_ends_the_command_first_and_then_takes_its_course(tmp_path):
    started = tmp_path / "started"
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))

    def terminate() -> None:
        wait_for(started)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=terminate)
    thread.start()
    try:
        code = run_child([sys.executable, "-c", WAITS, str(started)], os.environ, 1, 2)
    finally:
        thread.join()
        signal.signal(signal.SIGTERM, before)

    assert (code, seen) == (-signal.SIGTERM, [signal.SIGTERM])


def test_a_command_that_is_deaf_is_killed_and_the_exit_status_is_that_of_the_signal(tmp_path):
    started = tmp_path / "started"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, DEAF, str(started)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    wait_for(started)
    parent.terminate()
    # The pipe ends with the last process that holds it.
    said, _ = parent.communicate(timeout=30)

    assert (parent.returncode, said) == (-signal.SIGTERM, b"")


def test_nothing_is_held_back_afterwards():
    before = signal.getsignal(signal.SIGTERM)

    assert run_child([sys.executable, "-c", "raise SystemExit(3)"], os.environ, 1, 2) == 3
    assert signal.getsignal(signal.SIGTERM) is before


def test_other_threads_may_run_commands_too():
    codes: list[int] = []
    run = [sys.executable, "-c", "pass"]
    thread = threading.Thread(target=lambda: codes.append(run_child(run, os.environ, 1, 2)))
    thread.start()
    thread.join()

    assert codes == [0]
