"""Finding, checking and loading the drafter of a target."""

from __future__ import annotations

from pathlib import Path

from agentspark.drafting.chain import ChainDrafter
from agentspark.drafting.drafter import Drafter
from agentspark.drafting.dspark import DSparkDrafter
from agentspark.dspark.calibration import Temperatures
from agentspark.dspark.check import check_drafter, target_fingerprint
from agentspark.dspark.checkpoint import load_drafter
from agentspark.dspark.config import read_config
from agentspark.dspark.model import ChainModel, DSparkModel
from agentspark.errors import DrafterFormatError
from agentspark.models.modules import target_matrices
from agentspark.models.target import Target

AUTO = "auto"
_SHIPPED = Path(__file__).parent.parent / "drafters"


def load_for_target(drafter: str | Path | None, target: Target, fingerprint: str) -> Drafter | None:
    """The drafter for a target whose weights are still plain.

    ``fingerprint`` is ``fingerprint_of`` the target. ``auto`` is the shipped drafter made for
    exactly these weights, or none; a folder is a checkpoint, checked against the target
    (``DrafterMismatchError``, ``DrafterFormatError``); what family it is of stands in its
    ``config.json`` under ``architectures``.
    """
    if drafter is None:
        return None
    folder = shipped_drafter(fingerprint) if drafter == AUTO else Path(drafter)
    if folder is None:
        return None
    if not folder.is_dir():
        raise DrafterFormatError(
            f"There is no drafter folder {folder}: give a folder with config.json and "
            "model.safetensors, 'auto' or none."
        )
    model = load_drafter(folder, dtype=target.spec.dtype, device=target.spec.device)
    check_drafter(model.config, target.spec, fingerprint)
    model.attach_target(*target_matrices(target.model))
    if isinstance(model, ChainModel):
        return ChainDrafter(model, folder.name)
    assert isinstance(model, DSparkModel)
    temperatures = Temperatures.load(folder, model.config.block_size)
    return DSparkDrafter(model, temperatures, folder.name)


def fingerprint_of(target: Target) -> str:
    """``target_fingerprint`` of a target whose weights are still plain.

    Raises ``UnsupportedModelError`` where it has no plain embedding or LM head.
    """
    return target_fingerprint(*target_matrices(target.model))


def shipped_drafter(fingerprint: str) -> Path | None:
    """The folder of the drafter that ships for the target of this fingerprint, if there is one."""
    for config in sorted(_SHIPPED.glob("*/config.json")):
        if read_config(config.parent).target_fingerprint == fingerprint:
            return config.parent
    return None
