"""Sequential calibration: make the confidence head's survival come true.

The head gives a logit per draft position; ``c_k = sigmoid(logit_k / T_k + b_k)`` estimates that
draft ``k`` survives given that all before it did, and ``a_k = c_1 * ... * c_k`` that the prefix
does. From left to right, ``T_k`` and ``b_k`` are those under which the outcomes of the prefixes
are likeliest, the positions before them fixed. Neither changes the order of a position's
confidences.

The DSpark paper's sequential temperature scaling (STS) is this with ``b = 0`` and the calibration
error itself as the objective. Two things speak against it. A head learns the acceptance of its
training responses, and new ones accept less, greedy and sampled alike: the base rate shifts (by
most of one logit for the shipped drafter), and a temperature only turns a logit about one half.
And the error is smallest for one estimate for every draft, which is where that search ended: at
the edge of its range, with nothing left to rank. Likelihood is a proper score and keeps what the
head can tell apart. ``agentspark/drafters/smollm2/README.md`` has both ways' figures.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agentspark.errors import DrafterFormatError
from agentspark.files import whole_files, write_json

FILE_NAME = "calibration.json"
SCHEMA = 2
# Temperatures stay within a factor of 30; a weak pull to 1 decides where the outcomes do not.
_WIDEST = 1.5 * math.log(10.0)
_PULL = 0.5
_EDGE = 1e-7


@dataclass(frozen=True, slots=True)
class Temperatures:
    """A temperature and a bias per draft position; all 1 and 0 is the uncalibrated head.

    ``biases`` may be left out: all 0.
    """

    values: tuple[float, ...]
    biases: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Fill in the biases."""
        if not self.biases:
            object.__setattr__(self, "biases", (0.0,) * len(self.values))
        if len(self.biases) != len(self.values):
            raise ValueError(f"{len(self.values)} temperatures need as many biases")

    @classmethod
    def ones(cls, block_size: int) -> Temperatures:
        """No calibration."""
        return cls((1.0,) * block_size)

    def confidences(self, logits: Tensor) -> Tensor:
        """``sigmoid(logits / T + b)``: conditional survival, ``[..., k]``, ``k <= block size``."""
        count, where = logits.shape[-1], logits.device
        scale = torch.tensor(self.values[:count], dtype=torch.float32, device=where)
        shift = torch.tensor(self.biases[:count], dtype=torch.float32, device=where)
        return torch.sigmoid(logits.float() / scale + shift)

    def survival(self, logits: Tensor) -> Tensor:
        """Survival of each prefix, ``[..., k]`` float32, never increasing along the last axis."""
        return self.confidences(logits).cumprod(dim=-1)

    def save(self, folder: Path) -> Path:
        """Write ``calibration.json`` beside the drafter's checkpoint, whole or not at all."""
        data = {"schema": SCHEMA, "temperatures": list(self.values), "biases": list(self.biases)}
        with whole_files(folder) as temporary:
            write_json(temporary / FILE_NAME, data)
        return folder / FILE_NAME

    @classmethod
    def load(cls, folder: Path, block_size: int) -> Temperatures:
        """Read them from a drafter's folder; all 1 where the drafter was not calibrated.

        Files of schema 1 hold no biases. Raises ``DrafterFormatError`` for a file that is broken
        or of another block size.
        """
        path = folder / FILE_NAME
        if not path.is_file():
            return cls.ones(block_size)
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            schema = data["schema"]
            values = tuple(float(value) for value in data["temperatures"])
            given = data["biases"] if schema == SCHEMA else [0.0] * len(values)
            biases = tuple(float(bias) for bias in given)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DrafterFormatError(
                f"{path} cannot be read ({error}): calibrate the drafter again or delete the file."
            ) from error
        fit_together = len(values) == len(biases) == block_size
        in_range = all(0 < v < 1e6 for v in values) and all(abs(b) < 1e6 for b in biases)
        if schema not in (1, SCHEMA) or not fit_together or not in_range:
            raise DrafterFormatError(
                f"{path} does not hold {block_size} positive temperatures (and biases) of schema 1 "
                f"or {SCHEMA}: calibrate the drafter again or delete the file."
            )
        return cls(values, biases)


@dataclass(frozen=True, slots=True)
class Bin:
    """Estimates that are about alike: their mean, the share that came true, and their number."""

    estimate: float
    rate: float
    count: int


@dataclass(frozen=True, slots=True)
class Reliability:
    """How good the survival estimates of one draft position are.

    ``ece`` is the expected calibration error, ``auc`` the chance that a surviving prefix was
    rated above one that did not survive, ``rounds`` the number of rounds whose outcome at this
    position is known, ``rate`` the share that survived, ``curve`` the bins of a reliability
    diagram. ``None`` is unknown: no rounds, or for ``auc`` only one kind of outcome.
    """

    ece: float | None
    auc: float | None
    rounds: int
    rate: float | None
    curve: tuple[Bin, ...] = ()


def mean_ece(positions: Sequence[Reliability]) -> float | None:
    """The calibration error's mean over the positions where it is known."""
    known = [position.ece for position in positions if position.ece is not None]
    return sum(known) / len(known) if known else None


def fit(logits: Tensor, accepted: Tensor, verified: Tensor | None = None) -> Temperatures:
    """Fit temperatures and biases on held-out rounds.

    ``logits`` ``[N, block]`` are raw confidence logits, ``accepted`` ``[N]`` the number of drafts
    kept, ``verified`` ``[N]`` the number that were verified (``None``: all). A position that was
    never verified stays as it is.
    """
    logits = logits.double().cpu()
    outcome, known = _outcomes(logits.shape[1], accepted, verified)
    running = torch.ones(logits.shape[0], dtype=torch.float64)
    values: list[float] = []
    biases: list[float] = []
    for k in range(logits.shape[1]):
        rows = known[:, k]
        temperature, bias = 1.0, 0.0
        if bool(rows.any()):
            temperature, bias = _fit_position(running[rows], logits[rows, k], outcome[rows, k])
        values.append(temperature)
        biases.append(bias)
        running = running * torch.sigmoid(logits[:, k] / temperature + bias)
    return Temperatures(tuple(values), tuple(biases))


def _fit_position(before: Tensor, logit: Tensor, truth: Tensor) -> tuple[float, float]:
    """The likeliest ``(T, b)`` of one position; ``before`` is the survival of its prefix."""
    weights = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([weights], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        scale = torch.exp(-weights[0].clamp(-_WIDEST, _WIDEST))
        estimate = (before * torch.sigmoid(logit * scale + weights[1])).clamp(_EDGE, 1.0 - _EDGE)
        pull = _PULL * weights.square().sum() / truth.numel()
        value = torch.nn.functional.binary_cross_entropy(estimate, truth) + pull
        value.backward()
        return value

    with torch.enable_grad():
        search.step(loss)
    found = weights.detach()
    width = float(found[0].clamp(-_WIDEST, _WIDEST))
    return math.exp(width), float(found[1])


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
                curve=_curve(estimate, truth, bins),
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


def _curve(estimate: Tensor, truth: Tensor, bins: int) -> tuple[Bin, ...]:
    index = (estimate * bins).long().clamp_(0, bins - 1)
    groups = [(estimate[index == b], truth[index == b]) for b in range(bins)]
    return tuple(Bin(float(e.mean()), float(t.mean()), e.numel()) for e, t in groups if e.numel())


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
