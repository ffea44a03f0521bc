"""Which settings of a run may be others where it goes on, and what is said of it.

Every step's data follow from the seed and the cursor, and what a step does with them from the
settings alone: most may change between two steps, and the result is that of a run whose settings
changed there. What was trained on must never be measured on, though.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from agentspark.errors import TrainError
from agentspark.train.config import DataConfig, OptimConfig

# What changes nothing that is learned.
_NO_MATTER = ("seed", "dtype", "checkpoint_every_s", "evaluate_every_s", "log_every")
_DATA = ("max_tokens", "temperatures")
_NAMES = {"anchors_per_sequence": "anchors"}


def settings_of(optim: OptimConfig, data: DataConfig, batch: int) -> dict[str, Any]:
    """What a state notes of a run's settings; ``batch`` is that of all processes.

    Seed and dtype are noted apart, as they may never change.
    """
    noted = {_NAMES.get(name, name): value for name, value in asdict(optim).items()}
    for name in (*_NO_MATTER, "sequences_per_step", "loss"):
        del noted[name]
    noted |= {f"loss {name}": value for name, value in asdict(optim.loss).items()}
    noted |= {name: getattr(data, name) for name in _DATA}
    noted["temperatures"] = list(data.temperatures)
    return noted | {"batch": batch, "held_out_every": data.held_out_every}


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any], step: int) -> list[str]:
    """A sentence for each setting that is another one from ``step`` on.

    Raises ``TrainError`` for those that would have sequences measured on that were trained on.
    """
    if before.get("held_out_every") not in (None, now["held_out_every"]):
        raise TrainError(
            f"the run holds out one of {before['held_out_every']} prompts, and one of "
            f"{now['held_out_every']} would measure on what it was trained on: give the "
            "held_out_every it was started with, or another folder."
        )
    kept = " (responses that are there stay as they are)"
    return [
        f"{name} is {_shown(value)} from step {step} on, {_shown(before[name])} before"
        f"{kept if name in _DATA else ''}."
        for name, value in now.items()
        if name in before and before[name] != value
    ]


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
