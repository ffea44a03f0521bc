"""A run of the suite as it is kept: on what it was measured, when, and what came out."""

from __future__ import annotations

import os
import re
import subprocess
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from agentspark.files import write_text
from agentspark.trace.environment import Environment
from benchmarks.markdown import to_markdown
from benchmarks.measurement import Measurement

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"

# What processors' names say besides the processor.
_NOISE = re.compile(r"\((r|tm)\)|@.*|\b(cpu|processor|with|gpu|core|cores)\b", re.IGNORECASE)


class Commit(BaseModel):
    """The commit that was measured; ``changed``: the working tree differed from it."""

    id: str
    changed: bool


class Setup(BaseModel):
    """What ran: the model, its drafter, the engine's settings and the amount of work."""

    model_config = ConfigDict(protected_namespaces=())

    model: str
    drafter: str | None
    device: str
    dtype: str
    exact: bool
    prompts_file: str
    prompts: int
    transcripts_file: str
    transcripts: int
    repeats: int
    max_tokens: int


class Results(BaseModel):
    """What a result file holds. ``load``: the machine's load average just before, if known."""

    created_at: datetime
    commit: Commit | None
    environment: Environment
    load: float | None
    setup: Setup
    complete: bool = False
    measurements: list[Measurement] = []

    def write(self, folder: Path, only: tuple[str, ...] = ()) -> tuple[Path, Path]:
        """Write ``<date>-<hardware>[-<names>].json`` and ``.md``, each whole or not at all."""
        parts = [f"{self.created_at:%Y-%m-%d}", hardware(self.environment), *only]
        stem = folder / "-".join(parts)
        texts = {".json": self.model_dump_json(indent=1) + "\n", ".md": to_markdown(self)}
        paths = []
        for suffix, text in texts.items():
            path = stem.with_name(stem.name + suffix)
            write_text(path, text)
            paths.append(path)
        return paths[0], paths[1]


def hardware(environment: Environment) -> str:
    """A short name for a file: the accelerator, or the cores and the processor."""
    name = environment.accelerator or environment.processor or "unknown"
    words = re.findall(r"[a-z0-9]+", _NOISE.sub(" ", name).lower())
    cores = [] if environment.accelerator else [f"{environment.cores or 'unknown'}-cores"]
    return "-".join([*cores, *words[:6]])


def current_commit(root: Path = ROOT) -> Commit | None:
    """The commit of the working tree at ``root``; ``None`` where git knows none."""
    head = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain")
    if not head or changes is None:
        return None
    return Commit(id=head, changed=bool(changes))


def load_average() -> float | None:
    """The machine's load average of the last minute, where the system tells it."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):  # not on every system
        return None


def _git(root: Path, *args: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *args], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
