"""Calibration on real rounds of a tiny engine."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from agentspark.config import EngineConfig
from agentspark.dspark.calibration import Temperatures
from agentspark.engine.engine import Engine
from agentspark.errors import TrainError
from agentspark.train.calibrate import calibrate
from agentspark.train.reliability import write_reliability


def prompts(count: int) -> list[list[int]]:
    rng = random.Random(1)
    return [[rng.randrange(3, 512) for _ in range(20)] for _ in range(count)]


def test_temperatures_lower_the_error_of_a_drafter_that_is_rarely_right(
    tiny_target_dir: Path, tiny_drafter_dir: Path, cost_cache: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "drafter"
    shutil.copytree(tiny_drafter_dir, folder)
    config = EngineConfig(kv_tokens=2048, cache_dir=cost_cache)
    with Engine.load(tiny_target_dir, drafter=folder, config=config) as engine:
        with pytest.raises(TrainError, match="rounds"):
            calibrate(engine, prompts(1), max_tokens=8)
        found = calibrate(engine, prompts(8), max_tokens=32)
        assert found.rounds > 100
        assert engine._parts.turn.proposing.draft_watchers == []
    assert len(found.temperatures.values) == 5
    errors = [
        sum(position.ece or 0.0 for position in judged) for judged in (found.before, found.after)
    ]
    assert errors[1] < errors[0]
    assert found.rounds == found.fitted_on + found.judged_on
    found.temperatures.save(folder)
    written = write_reliability(found, folder, {"target": "tiny"})
    assert [path.name for path in written] == [
        "calibration-report.json",
        "calibration.png",
        "calibration.svg",
    ]
    report = json.loads(written[0].read_text())
    assert report["target"] == "tiny"
    assert report["rounds_judged_on"] == found.judged_on
    assert report["mean_ece"]["after"] == pytest.approx(errors[1] / 5)
    first = report["positions"][0]
    assert sum(b["count"] for b in first["after"]["curve"]) == found.judged_on
    assert written[1].read_bytes()[:4] == b"\x89PNG"
    assert "ECE" in written[2].read_text()
    with Engine.load(tiny_target_dir, drafter=folder, config=config) as engine:
        assert engine.drafter is not None
        assert engine.drafter.temperatures == Temperatures.load(folder, 5) != Temperatures.ones(5)
        with pytest.raises(TrainError, match="calibrated already"):
            calibrate(engine, prompts(8))


def test_without_a_drafter_there_is_nothing_to_calibrate(
    tiny_target_dir: Path, cost_cache: Path
) -> None:
    config = EngineConfig(kv_tokens=1024, cache_dir=cost_cache)
    with (
        Engine.load(tiny_target_dir, drafter=None, config=config) as engine,
        pytest.raises(TrainError, match="drafter"),
    ):
        calibrate(engine, prompts(1))
