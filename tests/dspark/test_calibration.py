"""STS makes survival come true; the measures agree with their definitions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from agentspark.dspark.calibration import (
    Temperatures,
    area_under_roc,
    evaluate,
    expected_calibration_error,
    fit,
    mean_ece,
)
from agentspark.errors import DrafterFormatError

BLOCK = 4


def rounds(n: int, scale: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Rounds whose true conditional survival is ``sigmoid(logit / scale)``."""
    source = torch.Generator().manual_seed(2)
    logits = torch.randn(n, BLOCK, generator=source) * 3 + 1
    true = torch.sigmoid(logits / torch.tensor(scale))
    kept = torch.rand(n, BLOCK, generator=source) < true
    return logits, kept.long().cumprod(dim=1).sum(dim=1)


def test_fitting_recovers_overconfident_logits() -> None:
    scale = (2.0, 3.0, 1.0, 0.5)
    logits, accepted = rounds(20_000, scale)
    temperatures = fit(logits, accepted)
    assert temperatures.values[0] == pytest.approx(2.0, rel=0.25)
    before = evaluate(Temperatures.ones(BLOCK).survival(logits), accepted)
    after = evaluate(temperatures.survival(logits), accepted)
    assert all(r.ece is not None and r.ece < 0.02 for r in after)
    assert sum(r.ece or 0 for r in after) < 0.4 * sum(r.ece or 0 for r in before)
    assert all(r.auc is not None and r.auc > 0.7 for r in after)
    # The order of the first position's confidences is kept.
    assert after[0].auc == pytest.approx(before[0].auc, abs=1e-6)


def test_a_shifted_base_rate_is_recovered_and_ranks_are_kept() -> None:
    source = torch.Generator().manual_seed(5)
    logits = torch.randn(20_000, BLOCK, generator=source)
    true = torch.sigmoid(logits / 0.5 - torch.tensor([2.0, 1.0, 0.0, -1.0]))
    accepted = (torch.rand(true.shape, generator=source) < true).long().cumprod(dim=1).sum(dim=1)
    found = fit(logits, accepted)
    assert found.values[:2] == pytest.approx((0.5, 0.5), rel=0.2)
    assert found.biases[:2] == pytest.approx((-2.0, -1.0), abs=0.2)
    before, after = (
        evaluate(t.survival(logits), accepted) for t in (Temperatures.ones(BLOCK), found)
    )
    assert mean_ece(before) > 0.1 > 0.01 > mean_ece(after)
    assert after[0].auc == pytest.approx(before[0].auc, abs=1e-6)
    # The diagram's bins hold every round and lie on the diagonal.
    assert sum(b.count for b in after[0].curve) == 20_000
    assert all(abs(b.estimate - b.rate) < 0.05 for b in after[0].curve if b.count > 500)


@pytest.mark.parametrize("kept", [0, BLOCK])
def test_rounds_that_all_end_alike_leave_finite_numbers(kept: int) -> None:
    logits = torch.randn(60, BLOCK)
    found = fit(logits, torch.full((60,), kept))
    assert all(0.03 < t < 32 for t in found.values)
    rates = found.survival(logits).mean(dim=0)
    assert bool((rates > 0.8).all() if kept else (rates < 0.1).all())


def test_rounds_cut_short_are_used_as_far_as_they_go() -> None:
    logits, accepted = rounds(20_000, (2.0,) * BLOCK)
    verified = torch.arange(20_000) % (BLOCK + 1)
    partly = fit(logits, accepted.minimum(verified), verified)
    assert partly.values == pytest.approx(fit(logits, accepted).values, rel=0.4)
    report = evaluate(
        partly.survival(logits), accepted.minimum(verified), verified.clamp(max=BLOCK - 1)
    )
    assert report[0].rounds > report[-1].rounds


def test_a_position_never_verified_stays_as_it_is() -> None:
    logits, _ = rounds(500, (2.0,) * BLOCK)
    ones = torch.ones(500, dtype=torch.long)
    everyone_kept = torch.ones(500, dtype=torch.long)
    temperatures = fit(logits, everyone_kept, ones)
    assert temperatures.values[1:] == (1.0,) * (BLOCK - 1)
    report = evaluate(temperatures.survival(logits), everyone_kept, ones)
    assert (report[1].ece, report[1].auc, report[1].rate, report[1].rounds) == (None, None, None, 0)
    assert report[0].rate == 1.0 and report[0].auc is None


def test_survival_never_increases_and_takes_short_blocks() -> None:
    temperatures = Temperatures((1.0, 2.0, 0.5, 1.0))
    logits = torch.randn(6, BLOCK)
    survival = temperatures.survival(logits)
    assert bool((survival.diff(dim=1) <= 0).all())
    assert torch.equal(temperatures.survival(logits[:, :2]), survival[:, :2])


def test_calibration_error_by_hand() -> None:
    estimate = torch.tensor([0.05, 0.05, 0.95, 0.95], dtype=torch.float64)
    truth = torch.tensor([0.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    assert expected_calibration_error(estimate, truth, bins=10) == pytest.approx(
        (0.45 * 2 + 0.05 * 2) / 4
    )
    exact_ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert expected_calibration_error(exact_ends, exact_ends) == 0.0


def test_area_under_roc_by_counting_pairs() -> None:
    estimate = torch.randint(0, 8, (60,)).double() / 8
    truth = (torch.rand(60) < estimate).double()
    pairs = [
        1.0 if p > q else 0.5 if p == q else 0.0
        for p in estimate[truth > 0].tolist()
        for q in estimate[truth == 0].tolist()
    ]
    assert area_under_roc(estimate, truth) == pytest.approx(sum(pairs) / len(pairs))
    assert area_under_roc(estimate, torch.ones(60).double()) is None


def test_temperatures_live_beside_the_drafter(tmp_path: Path) -> None:
    assert Temperatures.load(tmp_path, BLOCK) == Temperatures.ones(BLOCK)
    saved = Temperatures((1.5, 0.7, 1.0, 2.0))
    assert saved.save(tmp_path).name == "calibration.json"
    assert Temperatures.load(tmp_path, BLOCK) == saved
    assert len(list(tmp_path.iterdir())) == 1
    shifted = Temperatures((1.5, 0.7, 1.0, 2.0), (0.0, -1.5, 0.25, 3.0))
    shifted.save(tmp_path)
    assert Temperatures.load(tmp_path, BLOCK) == shifted
    (tmp_path / "calibration.json").write_text('{"schema": 1, "temperatures": [1.5, 0.7, 1, 2]}')
    assert Temperatures.load(tmp_path, BLOCK) == saved


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"schema": 1}',
        '{"schema": 2, "temperatures": [1, 1, 1, 1]}',
        '{"schema": 3, "temperatures": [1, 1, 1, 1]}',
        '{"schema": 2, "temperatures": [1, 1, 1, 1], "biases": [0, 0, 0]}',
        '{"schema": 2, "temperatures": [1, 1, 1, 1], "biases": [0, 0, 0, NaN]}',
        '{"schema": 1, "temperatures": [1, 1]}',
        '{"schema": 1, "temperatures": [1, 1, 0, 1]}',
        '{"schema": 1, "temperatures": [1, 1, NaN, 1]}',
    ],
)
def test_a_broken_file_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(DrafterFormatError, match="calibrate the drafter again"):
        Temperatures.load(tmp_path, BLOCK)
