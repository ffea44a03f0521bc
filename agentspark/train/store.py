"""Examples on disk: a folder of memory-mapped shards with a bound on their size.

A shard is one safetensors file of a few dozen sequences, written whole or not at all, so a kill
loses at most the shard at work. Only appended to; a reader that runs at the same time sees the
shards that were there when it looked.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from agentspark.errors import DataError
from agentspark.files import whole_file
from agentspark.train.origin import Origin
from agentspark.train.rows import Example

# Shards that a store keeps open at once: a folder may have more than a process may open.
_OPEN_FILES = 256


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
    def greedy(self) -> bool:
        """Whether the response was chosen greedily, as its temperature says."""
        return self.temperature == 0.0

    @property
    def predicted(self) -> int:
        """Positions whose predictions are known: those of the response, or of the prompt too."""
        return self.size - (self.start if self.first is None else self.first)


def write_shard(
    path: Path, items: Sequence[tuple[str, str, float, Example]], origin: Origin | None = None
) -> int:
    """Write ``(id, kind, temperature, example)`` items as one shard; return its bytes.

    ``origin`` is what they were read from, if that is to be checked by those who open the shard.
    Raises ``DataError`` where there is a shard: what is stored is never written over.
    """
    if path.exists():
        raise DataError(
            f"feature shard {path} is there already and is not written over: is another run at "
            "work in this folder? Start again when it has ended."
        )
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
    metadata = {} if origin is None else origin.to_metadata()
    metadata["entries"] = json.dumps([asdict(e) for e in entries])
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata)
    return path.stat().st_size


def _open_shard(path: Path) -> Any:  # safetensors is not typed
    return safe_open(path, framework="pt")


class FeatureStore:
    """All shards of a folder, in order.

    Of several sequences of one id the first is taken, and with ``only`` none of other ids. With
    ``origin``, a shard that was read from something else is a ``DataError``.
    """

    def __init__(
        self, folder: Path, *, only: AbstractSet[str] | None = None, origin: Origin | None = None
    ) -> None:
        self.folder, self.only, self.origin = folder, only, origin
        self.entries: list[tuple[Path, Entry]] = []
        self._seen: set[Path] = set()
        # Each store has its own: a shard that was deleted and written anew is another to a new one.
        self._open = lru_cache(maxsize=_OPEN_FILES)(_open_shard)
        self._ids: set[str] = set()
        self.bytes = 0
        self.refresh()

    def refresh(self) -> int:
        """Take in shards written since; return the number of sequences now known."""
        for path in sorted(self.folder.glob("shard-*.safetensors")):
            if path in self._seen:
                continue
            try:
                metadata = self._open(path).metadata()
                entries = [Entry(**entry) for entry in json.loads(metadata["entries"])]
                states = self._open(path).get_slice("hidden")[:0]
            except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
                raise DataError(
                    f"feature shard {path} cannot be read ({error}): delete it, it will be "
                    "computed again."
                ) from error
            if self.origin is not None and (wrong := self.origin.other(metadata, states)):
                raise DataError(f"feature shard {path} {wrong}, or give another folder.")
            for entry in entries:
                if entry.id not in self._ids and (self.only is None or entry.id in self.only):
                    self._ids.add(entry.id)
                    self.entries.append((path, entry))
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
        file = self._open(path)
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
        """Return the path for the next shard: of the lowest number that is free.

        So a shard that was deleted comes back to its place, and sequences keep their order.
        """
        paths = (self.folder / f"shard-{n:05d}.safetensors" for n in itertools.count())
        return next(path for path in paths if not path.exists())
