"""A trained drafter takes its place in the folder that engines load."""

from __future__ import annotations

import filecmp
import json
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from agentspark.dspark.beside import CARD_FILE, calibration_files
from agentspark.dspark.calibration import FILE_NAME as CALIBRATION_FILE
from agentspark.dspark.checkpoint import CONFIG_ID, WEIGHTS_FILE
from agentspark.dspark.config import CONFIG_FILE
from agentspark.errors import TrainError
from agentspark.files import whole_files
from agentspark.train.drafter_lock import lock_drafter
from agentspark.train.progress import Stage, silent_stage


def release_drafter(trained: Path, out: Path, card: str, stage: Stage = silent_stage) -> bool:
    """Copy the drafter in ``trained`` to ``out`` with its ``card``; tell if a calibration went.

    A calibration in ``out`` is of the weights that were there: it goes with its report and
    diagrams, unless the same drafter comes again, and the new one is simply uncalibrated. Raises
    ``TrainError`` with ``out`` as it was where there is no room; a kill never leaves half a file,
    nor a config and weights of two drafters that are loaded, and the next call ends what was begun.
    A calibration that is at work in ``out`` is waited for, which ``stage`` shows.
    """
    with lock_drafter(out, "agentspark train", stage):
        return _release(trained, out, card)


def _release(trained: Path, out: Path, card: str) -> bool:
    files = [trained / name for name in (CONFIG_FILE, WEIGHTS_FILE)]
    try:
        changed = not all(_same(path, out / path.name) for path in files)
        calibrated = changed and (out / CALIBRATION_FILE).exists()
        with whole_files(out, calibration_files(out) if changed else ()) as temporary:
            for path in files:
                shutil.copyfile(path, temporary / path.name)
            (temporary / CARD_FILE).write_text(card, encoding="utf-8")
    except OSError as error:
        raise TrainError(
            f"the drafter cannot be written to {out} ({error}): free some disk and start again. "
            f"Nothing was replaced; the trained drafter lies in {trained}."
        ) from error
    return calibrated


def _same(path: Path, other: Path) -> bool:
    """Whether two files hold the same config or the same weights, however they are marked."""
    if not other.exists():
        return False
    if filecmp.cmp(path, other, shallow=False):
        return True
    try:
        if path.name == CONFIG_FILE:
            one, two = ({**json.loads(p.read_bytes()), CONFIG_ID: None} for p in (path, other))
            return one == two
        mine, theirs = load_file(path), load_file(other)
    except (SafetensorError, ValueError, TypeError):  # what lies there is broken
        return False
    return mine.keys() == theirs.keys() and all(
        mine[name].dtype == theirs[name].dtype and torch.equal(mine[name], theirs[name])
        for name in mine
    )
