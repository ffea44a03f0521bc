"""Where a record was made: versions and hardware, found out once per process."""

from __future__ import annotations

import functools
import os
import platform
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, ConfigDict


class Environment(BaseModel):
    """Versions and hardware behind a measurement; what cannot be found out is ``None``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agentspark: str | None = None
    torch: str | None = None
    transformers: str | None = None
    python: str
    system: str
    processor: str | None = None
    cores: int | None = None
    threads: int | None = None
    accelerator: str | None = None


def describe_environment(
    *, threads: int | None = None, accelerator: str | None = None
) -> Environment:
    """Describe this process; the caller adds what only it knows.

    ``threads`` is the number the engine computes with, ``accelerator`` the device's name as the
    driver gives it (``None`` on a CPU). Nothing heavy is imported to find the versions.
    """
    return _this_process().model_copy(update={"threads": threads, "accelerator": accelerator})


@functools.cache
def _this_process() -> Environment:
    return Environment(
        agentspark=_version("agentspark"),
        torch=_version("torch"),
        transformers=_version("transformers"),
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        processor=_processor(),
        cores=_cores(),
    )


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(names), None) or platform.processor() or None


def _cores() -> int | None:
    # What this process may use, which containers and taskset keep below what the machine has.
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not a Linux
        return os.cpu_count()
