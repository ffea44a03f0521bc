"""What a run needs to go on after a kill, in one file that is written whole or not at all."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from agentspark.errors import TrainError
from agentspark.files import remove_leftovers, whole_file
from agentspark.train.anchors import Cursor

STATE_FILE = "state.pt"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class RunState:
    """A run between two steps.

    ``drafter`` is the drafter's config, ``elapsed_s`` the time trained, ``anchors`` how many
    blocks were trained on, ``init`` the digest of the weights it began with (``None``: new ones,
    or not known), ``sequences`` a digest of the ids of the ``cursor.size`` sequences it learns
    from (``None``: not known), ``draft_tokens`` the target tokens that the drafter's columns stand
    for (``None``: all of them, or not known), ``dtype`` what is computed in (``None``: not known).
    """

    cursor: Cursor
    elapsed_s: float
    anchors: int
    seed: int
    drafter: dict[str, Any]
    optimizer: dict[str, Any]
    init: str | None = None
    sequences: str | None = None
    draft_tokens: list[int] | None = None
    dtype: str | None = None


def save_state(state: RunState, path: Path) -> None:
    """Write the state; on a full disk the one before stays and ``TrainError`` says so."""
    content = {
        "version": _VERSION,
        "cursor": asdict(state.cursor),
        "elapsed_s": state.elapsed_s,
        "anchors": state.anchors,
        "seed": state.seed,
        "drafter": state.drafter,
        "optimizer": state.optimizer,
        "init": state.init,
        "sequences": state.sequences,
        "draft_tokens": state.draft_tokens,
        "dtype": state.dtype,
    }
    try:
        remove_leftovers(path.parent)
        with whole_file(path) as temporary, temporary.open("wb") as handle:
            torch.save(content, handle)
    except (OSError, RuntimeError) as error:  # torch's own error where only a part could be written
        raise TrainError(
            f"the training state cannot be written to {path} ({error}): free some disk and start "
            "again; the run goes on from the state saved before, if there is one."
        ) from error


def load_state(path: Path) -> RunState | None:
    """Read the state, ``None`` where there is none yet."""
    if not path.exists():
        return None
    try:
        raw = torch.load(path, map_location="cpu", weights_only=True)
        if raw["version"] != _VERSION:
            raise TrainError(
                f"{path} was written by another version of agentspark: move it away to start anew."
            )
        return RunState(
            cursor=Cursor(**raw["cursor"]),
            elapsed_s=raw["elapsed_s"],
            anchors=raw["anchors"],
            seed=raw["seed"],
            drafter=raw["drafter"],
            optimizer=raw["optimizer"],
            init=raw.get("init"),
            sequences=raw.get("sequences"),
            draft_tokens=raw.get("draft_tokens"),
            dtype=raw.get("dtype"),
        )
    except TrainError:
        raise
    except Exception as error:  # the unpickler fails on broken files in many ways
        raise TrainError(
            f"the training state {path} cannot be read ({error}): move it away to start anew."
        ) from error
