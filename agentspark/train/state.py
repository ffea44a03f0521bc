"""What a run needs to go on after a kill, in one file that is written whole or not at all.

The state before it stays beside it, for the day when a disk has changed what was written.
"""

from __future__ import annotations

import os
import zipfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from agentspark.errors import TrainError
from agentspark.files import remove_leftovers, whole_file
from agentspark.train.anchors import Cursor

STATE_FILE = "state.pt"
BEFORE_FILE = "state-before.pt"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class RunState:
    """A run between two steps.

    ``drafter`` is the drafter's config, ``elapsed_s`` the time trained, ``anchors`` how many
    blocks were trained on, ``init`` the digest of the weights it began with (``None``: new ones,
    or not known), ``sequences`` a digest of the ids of the ``cursor.size`` sequences it learns
    from (``None``: not known), ``draft_tokens`` the target tokens that the drafter's columns stand
    for (``None``: all of them, or not known), ``dtype`` what is computed in (``None``: not known).
    ``settings`` are those of the run (``settings.py``; ``None``: not known) and ``changes`` says,
    a sentence each, how they changed since it began. ``broken`` is what is wrong with a state that
    was saved after this one and cannot be read (``None``: this is the last); it is not written.
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
    settings: dict[str, Any] | None = None
    changes: list[str] = field(default_factory=list)
    broken: str | None = None


def save_state(state: RunState, path: Path) -> None:
    """Write the state; on a full disk the one there stays and ``TrainError`` says so.

    The one there is kept as ``BEFORE_FILE``, unless ``state`` says that it is ``broken``: then what
    is kept so already stays.
    """
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
        "settings": state.settings,
        "changes": state.changes,
    }
    before = path.with_name(BEFORE_FILE)
    try:
        remove_leftovers(path.parent)
        if state.broken is None:
            # So that there are never three, as disks are small, nor one of a run that was given up.
            before.unlink(missing_ok=True)
        with whole_file(path) as temporary:
            with temporary.open("wb") as handle:
                torch.save(content, handle)
            if state.broken is None:
                with suppress(OSError):  # no state yet, or a file system without links
                    os.link(path, before)
    except (OSError, RuntimeError) as error:  # torch's own error where only a part could be written
        raise TrainError(
            f"the training state cannot be written to {path} ({error}): free some disk and start "
            "again; the run goes on from the state saved before, if there is one."
        ) from error


def load_state(path: Path) -> RunState | None:
    """Read the state, ``None`` where there is none yet.

    Where it is broken, a flipped bit included, that is the one saved before it, which says so.
    ``TrainError`` where neither can be read.
    """
    if not path.exists():
        return None
    try:
        return _read(path)
    except _Broken as error:
        broken = str(error)
    try:
        return replace(_read(path.with_name(BEFORE_FILE)), broken=broken)
    except (_Broken, TrainError):
        raise TrainError(
            f"the training state {path} cannot be read ({broken}), and none from before "
            "it can: move it away to start anew, or start another run, in another folder, from the "
            f"drafter last saved (--init {path.parent / 'drafter'})."
        ) from None


class _Broken(Exception):
    """A state that is not what was written."""


def _read(path: Path) -> RunState:
    try:
        # torch writes a checksum of every part and does not look at them when it reads.
        with zipfile.ZipFile(path) as parts:
            wrong = parts.testzip()
        if wrong is not None:
            raise _Broken(f"its part {wrong} has changed since it was written")
        raw = torch.load(path, map_location="cpu", weights_only=True)
        version = raw["version"]
        if version == _VERSION:
            return _state(raw)
    except _Broken:
        raise
    except PermissionError as error:
        raise TrainError(
            f"the training state {path} cannot be read ({error.strerror}): make it readable."
        ) from error
    except Exception as error:  # the unpickler fails on broken files in many ways
        raise _Broken(str(error)) from error
    raise TrainError(
        f"{path} was written by another version of agentspark: move it away to start anew."
    )


def _state(raw: dict[str, Any]) -> RunState:
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
        settings=raw.get("settings"),
        changes=raw.get("changes") or [],
    )
