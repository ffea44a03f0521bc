"""The reader of trace files, which forgives a kill or a power cut and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from agentspark.errors import TraceError, TraceFormatError
from agentspark.trace.record import KNOWN_VERSIONS, StepRecord

# How every line begins that a recorder wrote: a torn one is told from a foreign file by this.
_OPENING = b'{"schema_version":'


@dataclass(slots=True)
class TraceFile:
    """The records of one file in the order they were written.

    ``torn_lines`` are the numbers (from 1) of lines cut short by a kill or a full disk, or filled
    with NUL bytes by a power cut; the calls behind them are lost.
    """

    path: Path
    records: list[StepRecord] = field(default_factory=list)
    torn_lines: list[int] = field(default_factory=list)


def read_trace(path: str | Path) -> TraceFile:
    """Read a whole trace file, a line at a time: it may be larger than what its records take.

    Fields that this version does not know are skipped, so that files of a later agentspark with
    the same schema version stay readable. Raises ``TraceFormatError`` for a line that is not a
    record of a known schema version, ``TraceError`` where the file cannot be read.
    """
    file = TraceFile(Path(path))
    try:
        with file.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                _take(file, number, line.removesuffix(b"\n"))
    except OSError as error:
        raise TraceError(
            f"The trace file {path} cannot be read: {error.strerror}. Check the path."
        ) from error
    return file


def read_traces(paths: Iterable[str | Path]) -> list[TraceFile]:
    """Read several files; errors as in ``read_trace``."""
    return [read_trace(path) for path in paths]


def _take(file: TraceFile, number: int, line: bytes) -> None:
    """Enter one line of a file, its number from 1."""
    # NUL bytes stand where a file had grown already and its data never reached the disk.
    kept = line.strip(b"\0")
    record = _parse(kept, f"{file.path}, line {number}") if kept.strip() else None
    if record is not None:
        file.records.append(record)
    if len(kept) < len(line) or (record is None and kept.strip()):
        file.torn_lines.append(number)


def _parse(line: bytes, where: str) -> StepRecord | None:
    """The record on a line, ``None`` where the line was cut short."""
    try:
        given = json.loads(line)
    except RecursionError as error:
        raise TraceFormatError(
            f"{where} is nested too deeply to be a trace record. Give a file that agentspark "
            "recorded."
        ) from error
    except ValueError as error:
        if line.startswith(_OPENING) or _OPENING.startswith(line):
            return None
        raise TraceFormatError(
            f"{where} is not JSON: {error}. Give a file that agentspark recorded."
        ) from error
    if not isinstance(given, dict) or "schema_version" not in given:
        raise TraceFormatError(
            f"{where} is no trace record (it has no schema_version). Give a file that agentspark "
            "recorded."
        )
    version = given["schema_version"]
    if type(version) is not int or version not in KNOWN_VERSIONS:
        known = ", ".join(str(known) for known in sorted(KNOWN_VERSIONS))
        raise TraceFormatError(
            f"{where} has schema version {version!r}; this agentspark reads {known}. Upgrade "
            "agentspark to read it."
        )
    try:
        return StepRecord.model_validate(given, extra="ignore")
    except ValidationError as error:
        first = error.errors()[0]
        field_name = ".".join(str(part) for part in first["loc"])
        raise TraceFormatError(
            f"{where} is a damaged record: {field_name}: {first['msg']}. Remove the line to go on."
        ) from error
