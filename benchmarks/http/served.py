"""A server to measure, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from agentspark.errors import ConfigError
from benchmarks.bench import Settings

NAME = "measured"

_ADDRESS = re.compile(r"at (http://[^ ]+/v1)")


@dataclass(frozen=True, slots=True)
class Process:
    """A server's process and its address."""

    pid: int
    url: str


@contextmanager
def in_process(settings: Settings, *more: str) -> Iterator[Process]:
    """``agentspark serve`` as another process, with ``more`` arguments."""
    command = [sys.executable, "-m", "agentspark.cli", "serve", str(settings.model)]
    command += ["--dtype", settings.config.dtype or "auto"]
    command += ["--name", NAME, "--port", "0", "--drain", "0"]
    command += ["--drafter", "none" if settings.drafter is None else str(settings.drafter), *more]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None, "it is a pipe"
        try:
            url = _address(process.stderr)
            # Its log goes on; nobody reads it, but somebody must take it.
            taking = threading.Thread(target=process.stderr.read, daemon=True)
            taking.start()
            yield Process(process.pid, url)
            process.terminate()
            taking.join()
        finally:
            process.terminate()


def _address(lines: IO[str]) -> str:
    said = ""
    while line := lines.readline():
        said += line
        found = _ADDRESS.search(line)
        if found:
            return found[1]
    raise ConfigError(f"The server did not start: {said.strip()}")
