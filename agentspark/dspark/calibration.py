"""Sequential temperature scaling (STS): make the confidence head's survival come true.

The head gives a logit per draft position; ``c_k = sigmoid(logit_k / T_k)`` estimates that draft
``k`` survives given that all before it did, and ``a_k = c_1 * ... * c_k`` that the prefix does.
From left to right, ``T_k`` is the temperature that minimises the expected calibration error of
``a_k``, the ones before it fixed. A temperature keeps the order of each position's confidences.
Method: the DSpark paper.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agentspark.dspark.atomic import write_json
from agentspark.errors import DrafterFormatError

FILE_NAME = "calibration.json"
SCHEMA = 1
_GRID = torch.logspace(-1.5, 1.5, 121, base=10.0, dtype=torch.float64).tolist()


@dataclass(frozen=True, slots=True)
class Temperatures:
    """One temperature per draft position; all 1 is the uncalibrated head."""

    values: tuple[float, ...]

    @classmethod
    def ones(cls, block_size: int) -> Temperatures:
        """No calibration."""
        return cls((1.0,) * block_size)

    def confidences(self, logits: Tensor) -> Tensor:
        """``sigmoid(logits / T)``: conditional survival, ``[..., k]`` with ``k <= block size``."""
        scale = torch.tensor(
            self.values[: logits.shape[-1]], dtype=torch.float32, device=logits.device
        )
        return torch.sigmoid(logits.float() / scale)

    def survival(self, logits: Tensor) -> Tensor:
        """Survival of each prefix, ``[..., k]`` float32, never increasing along the last axis."""
        return self.confidences(logits).cumprod(dim=-1)

    def save(self, folder: Path) -> Path:
        """Write ``calibration.json`` beside the drafter's checkpoint, whole or not at all."""
        path = folder / FILE_NAME
        write_json(path, {"schema": SCHEMA, "temperatures": list(self.values)})
        return path

    @classmethod
    def load(cls, folder: Path, block_size: int) -> Temperatures:
        """Read them from a drafter's folder; all 1 where the drafter was not calibrated.

        Raises ``DrafterFormatError`` for a file that is broken or of another block size.
        """
        path = folder / FILE_NAME
        if not path.is_file():
            return cls.ones(block_size)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            values = tuple(float(value) for value in data["temperatures"])
            known = data["schema"] == SCHEMA
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DrafterFormatError(
                f"{path} cannot be read ({error}): calibrate the drafter again or delete the file."
            ) from error
        if not known or len(values) != block_size or not all(0 < v < 1e6 for v in values):
            raise DrafterFormatError(
                f"{path} does not hold {block_size} positive temperatures of schema {SCHEMA}: "
                "calibrate the drafter again or delete the file."
            )
        return cls(values)


@dataclass(frozen=True, slots=True)
class Reliability:
    """How good the survival estimates of one draft position are.

    ``ece`` is the expected calibration error, ``auc`` the chance that a surviving prefix was
    rated above one that did not survive, ``rounds`` the number of rounds whose outcome at this
    position is known, ``rate`` the share that survived. ``None`` is unknown: no rounds, or for
    ``auc`` only one kind of outcome.
    """

    ece: float | None
    auc: float | None
    rounds: int
    rate: float | None


def fit(
    logits: Tensor, accepted: Tensor, verified: Tensor | None = None, *, bins: int = 15
) -> Temperatures:
    """Fit the temperatures on held-out rounds.

    ``logits`` ``[N, block]`` are raw confidence logits, ``accepted`` ``[N]`` the number of drafts
    kept, ``verified`` ``[N]`` the number that were verified (``None``: all). A position that was
    never verified keeps temperature 1.
    """
    logits = logits.double().cpu()
    outcome, known = _outcomes(logits.shape[1], accepted, verified)
    running = torch.ones(logits.shape[0], dtype=torch.float64)
    values: list[float] = []
    for k in range(logits.shape[1]):
        rows = known[:, k]
        best = 1.0
        if bool(rows.any()):
            before, column, truth = running[rows], logits[rows, k], outcome[rows, k]
            errors = [
                expected_calibration_error(before * torch.sigmoid(column / t), truth, bins=bins)
                for t in _GRID
            ]
            best = _GRID[min(range(len(errors)), key=errors.__getitem__)]
        values.append(best)
        running = running * torch.sigmoid(logits[:, k] / best)
    return Temperatures(tuple(values))


def evaluate(
    survival: Tensor, accepted: Tensor, verified: Tensor | None = None, *, bins: int = 15
) -> list[Reliability]:
    """Judge survival estimates ``[N, block]`` against what was kept, position by position."""
    survival = survival.double().cpu()
    outcome, known = _outcomes(survival.shape[1], accepted, verified)
    report = []
    for k in range(survival.shape[1]):
        rows = known[:, k]
        estimate, truth = survival[rows, k], outcome[rows, k]
        count = int(rows.sum())
        report.append(
            Reliability(
                ece=expected_calibration_error(estimate, truth, bins=bins) if count else None,
                auc=area_under_roc(estimate, truth),
                rounds=count,
                rate=float(truth.mean()) if count else None,
            )
        )
    return report


def expected_calibration_error(estimate: Tensor, truth: Tensor, *, bins: int = 15) -> float:
    """Mean gap between estimate and frequency over equal-width bins, weighted by their size.

    ``estimate`` and ``truth`` are ``[N]`` float64; ``truth`` is 0 or 1.
    """
    if not estimate.numel():
        return 0.0
    index = (estimate * bins).long().clamp_(0, bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, index, estimate - truth)
    return float(gap.abs().sum() / estimate.numel())


def area_under_roc(estimate: Tensor, truth: Tensor) -> float | None:
    """Area under the ROC curve by ranks, ties counted half; ``None`` with one class only."""
    positives = int(truth.sum())
    negatives = truth.numel() - positives
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(estimate.numpy(), return_inverse=True, return_counts=True)
    ranks = (counts.cumsum() - (counts - 1) / 2)[inverse]
    above = float(ranks[truth.numpy() > 0].sum()) - positives * (positives + 1) / 2
    return above / (positives * negatives)


def _outcomes(block: int, accepted: Tensor, verified: Tensor | None) -> tuple[Tensor, Tensor]:
    """Whether each prefix survived (float64) and whether that is known, both ``[N, block]``."""
    positions = torch.arange(1, block + 1)
    kept = accepted.cpu().unsqueeze(1) >= positions
    if verified is None:
        return kept.double(), torch.ones_like(kept)
    # A rejection also settles the positions behind what was verified, but an acceptance does not:
    # using it would count the failures alone.
    known = verified.cpu().unsqueeze(1) >= positions
    return kept.double(), known
