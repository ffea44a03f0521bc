"""From responses to stored features: the target reads each response once."""

from __future__ import annotations

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
        if store.bytes + _size(batch) >= max_disk_bytes:
            break
        tokens = [*response.prompt_token_ids, *response.token_ids]
        example = reader.read(tokens, len(response.prompt_token_ids))
        batch.append((response.id, response.kind, response.temperature, example))
        if len(batch) == SHARD_SEQUENCES:
            _write(store, batch, reader.origin)
            batch = []
        if progress is not None:
            progress(number, len(todo))
    if batch:
        _write(store, batch, reader.origin)
    # Opened anew: what came back to the place of a deleted shard is in order again.
    return FeatureStore(folder, only=wanted, origin=reader.origin)


def _size(batch: list[tuple[str, str, float, Example]]) -> int:
    return sum(e.hidden.nbytes + e.last.nbytes + 8 * e.tokens.numel() for *_, e in batch)


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
