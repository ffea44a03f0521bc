"""The run log: one JSON object a line, appended and flushed as a run goes."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from agentspark.errors import TrainError


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


class RunLog:
    """Appends events to a file; numbers that are not finite become null. ``quiet`` writes none."""

    def __init__(self, path: Path, *, quiet: bool = False) -> None:
        self.path, self.quiet = path, quiet
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, event: str, **values: Any) -> None:
        """Append one event with the time (unix seconds) it happened at."""
        if self.quiet:
            return
        line = {"event": event, "at": round(time.time(), 3)}
        line.update({name: _plain(value) for name, value in values.items()})
        try:
            with self.path.open("a", encoding="utf-8") as handle:
                handle.write(json.dumps(line) + "\n")
        except OSError as error:
            raise TrainError(
                f"the run log {self.path} cannot be written ({error.strerror}): free some disk "
                "and start again; the run resumes."
            ) from error
