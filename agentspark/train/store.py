"""Examples on disk: a folder of memory-mapped shards with a bound on their size.

A shard is one safetensors file of a few dozen sequences, written whole or not at all, so a kill
loses at most the shard at work. Only appended to; a reader that runs at the same time sees the
shards that were there when it looked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from agentspark.errors import DataError
from agentspark.train.rows import Example


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one sequence lies in its shard, and where it came from.

    ``offset`` and ``size`` count tokens. ``row`` is its first row of the tensors of predictions,
    which begin at its token ``first`` (``None``: at ``start``).
    """

    id: str
    kind: str
    temperature: float
    start: int
    offset: int
    size: int
    row: int
    first: int | None = None

    @property
    def anchors(self) -> int:
        """Positions that can be anchors: response tokens with a successor."""
        return self.size - self.start - 1

    @property
    def predicted(self) -> int:
        """Positions whose predictions are known: those of the response, or of the prompt too."""
        return self.size - (self.start if self.first is None else self.first)


def write_shard(path: Path, items: Sequence[tuple[str, str, float, Example]]) -> int:
    """Write ``(id, kind, temperature, example)`` items as one shard; return its bytes."""
    entries, offset, row = [], 0, 0
    for name, kind, temperature, example in items:
        size = example.tokens.numel()
        entry = Entry(name, kind, temperature, example.start, offset, size, row, example.first)
        entries.append(entry)
        offset, row = offset + size, row + size - example.first
    examples = [item[3] for item in items]
    tensors = {
        "tokens": torch.cat([e.tokens for e in examples]).to(torch.int32),
        "hidden": torch.cat([e.hidden for e in examples]),
        "last": torch.cat([e.last for e in examples]),
        "log_norm": torch.cat([e.log_norm for e in examples]),
        "best": torch.cat([e.best for e in examples]).to(torch.int32),
    }
    temporary = path.with_suffix(".writing")
    save_file(tensors, temporary, {"entries": json.dumps([asdict(e) for e in entries])})
    os.replace(temporary, path)
    return path.stat().st_size


@lru_cache(maxsize=256)
def _open(path: Path) -> Any:
    return safe_open(path, framework="pt")


class FeatureStore:
    """All shards of a folder, in order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: list[tuple[Path, Entry]] = []
        self._seen: set[Path] = set()
        self.bytes = 0
        self.refresh()

    def refresh(self) -> int:
        """Take in shards written since; return the number of sequences now known."""
        for path in sorted(self.folder.glob("shard-*.safetensors")):
            if path in self._seen:
                continue
            try:
                entries = json.loads(_open(path).metadata()["entries"])
            except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
                raise DataError(
                    f"feature shard {path} cannot be read ({error}): delete it, it will be "
                    "computed again."
                ) from error
            self.entries.extend((path, Entry(**entry)) for entry in entries)
            self._seen.add(path)
            self.bytes += path.stat().st_size
        return len(self.entries)

    def __len__(self) -> int:
        """Return the number of sequences known."""
        return len(self.entries)

    def entry(self, index: int) -> Entry:
        """Return what is known of a sequence without reading it."""
        return self.entries[index][1]

    def example(self, index: int) -> Example:
        """Read one sequence."""
        path, e = self.entries[index]
        file = _open(path)
        here, rows = slice(e.offset, e.offset + e.size), slice(e.row, e.row + e.predicted)
        return Example(
            tokens=file.get_slice("tokens")[here].to(torch.int64),
            start=e.start,
            hidden=file.get_slice("hidden")[here],
            last=file.get_slice("last")[rows],
            log_norm=file.get_slice("log_norm")[rows],
            best=file.get_slice("best")[rows].to(torch.int64),
        )

    def examples(self, numbers: Sequence[int]) -> list[Example]:
        """Read some sequences."""
        return [self.example(i) for i in numbers]

    def next_shard(self) -> Path:
        """Return the path for the next shard."""
        return self.folder / f"shard-{len(self._seen):05d}.safetensors"
