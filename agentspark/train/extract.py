"""From responses to stored features: the target reads each response once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from agentspark.errors import DataError, TrainError
from agentspark.files import remove_leftovers
from agentspark.train.features import TargetReader
from agentspark.train.origin import Origin
from agentspark.train.responses import Response
from agentspark.train.rows import Example
from agentspark.train.store import FeatureStore, write_shard

SHARD_SEQUENCES = 48
# What a shard's header takes at most: for each sequence beside its names, and once.
_ENTRY_BYTES, _HEADER_BYTES = 256, 1024

Progress = Callable[[int, int], None]


def extract_features(
    reader: TargetReader,
    responses: Sequence[Response],
    folder: Path,
    max_disk_bytes: int,
    progress: Progress | None = None,
) -> FeatureStore:
    """Store the features of responses that have none yet, up to ``max_disk_bytes`` on disk.

    Gives the store of these responses; those beyond the bound stay unused (use ``online`` for all
    of them), and so does what else lies in ``folder``. Raises ``TrainError`` where the disk fills
    before, with the shards written so far kept, and ``DataError`` where ``folder`` holds features
    of another target or of other layers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    wanted = frozenset(response.id for response in responses)
    store = FeatureStore(folder, only=wanted, origin=reader.origin)
    done = {store.entry(i).id for i in range(len(store))}
    todo = [r for r in responses if r.id not in done and len(r.token_ids) > 1]
    batch: list[tuple[str, str, float, Example]] = []
    for number, response in enumerate(todo, start=1):
        tokens = [*response.prompt_token_ids, *response.token_ids]
        example = reader.read(tokens, len(response.prompt_token_ids))
        item = (response.id, response.kind, response.temperature, example)
        if store.bytes + _most_bytes([*batch, item]) > max_disk_bytes:
            break
        batch.append(item)
        if len(batch) == SHARD_SEQUENCES:
            _write(store, batch, reader.origin)
            batch = []
        if progress is not None:
            progress(number, len(todo))
    if batch:
        _write(store, batch, reader.origin)
    # Opened anew: what came back to the place of a deleted shard is in order again.
    return FeatureStore(folder, only=wanted, origin=reader.origin)


def _most_bytes(batch: list[tuple[str, str, float, Example]]) -> int:
    """As much as these take as a shard, or a little more."""
    rows = sum(
        e.hidden.nbytes + e.last.nbytes + 4 * e.tokens.numel() + 8 * e.last.shape[0]
        for *_, e in batch
    )
    # The header tells of every sequence, in text whose quotes are escaped.
    words = sum(len(json.dumps(json.dumps((name, kind)))) for name, kind, *_ in batch)
    return rows + words + _ENTRY_BYTES * len(batch) + _HEADER_BYTES


def _write(
    store: FeatureStore, batch: list[tuple[str, str, float, Example]], origin: Origin
) -> None:
    path = store.next_shard()
    try:
        write_shard(path, batch, origin)
    except DataError:
        raise
    except Exception as error:
        raise TrainError(
            f"features cannot be written to {path.parent} ({error}): free some disk, or lower "
            "max_disk; a new start goes on from what is there."
        ) from error
    store.refresh()
