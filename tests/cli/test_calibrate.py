"""``agentspark calibrate`` writes what engines read and what people look at."""

from __future__ import annotations

import json
import shutil

from agentspark.dspark.calibration import Bin, Reliability, Temperatures
from agentspark.errors import TrainError
from agentspark.train import calibrate, reliability
from agentspark.train.drafter_lock import lock_drafter


def test_a_drafter_is_calibrated_with_its_report(
    cli, jsonl, tiny_target_dir, tiny_drafter_dir, tmp_path
):
    folder = tmp_path / "drafter"
    shutil.copytree(tiny_drafter_dir, folder)
    lines = [
        {"id": n, "kind": "ab"[n % 2], "prompt_token_ids": [1, *range(40 + n, 60)]}
        for n in range(8)
    ]
    prompts = jsonl(
        "prompts.jsonl", *lines, {"id": "bad"}, {"id": "long", "prompt_token_ids": [5] * 2040},
        {"id": "high", "prompt_token_ids": [99_999]},
    )  # fmt: skip
    args = ("calibrate", "--drafter", folder, "--prompts", prompts, "--target", tiny_target_dir,
            "--max-tokens", 24, "--costs")  # fmt: skip
    said = cli(*args)
    assert said.code == 0, said.err
    assert "line 9" in said.err and "'long' (prompts.jsonl line 10)" in said.err
    assert "'high' (prompts.jsonl line 11)" in said.err
    assert "mean over positions" in said.err
    assert len(json.loads((folder / "calibration.json").read_text())["biases"]) == 5
    report = json.loads((folder / "calibration-report.json").read_text())
    assert report["prompts"] == 8
    assert report["mean_ece"]["after"] < report["mean_ece"]["before"]
    assert {"calibration.png", "calibration.svg", "costs.json"} <= {
        p.name for p in folder.iterdir()
    }
    assert json.loads((folder / "costs.json").read_text())["forward_ms"]
    said = cli(*args)
    assert said.code == 1
    assert "calibrated already" in said.err


def test_what_cannot_be_written_leaves_a_drafter_that_is_not_calibrated(
    cli, jsonl, tiny_target_dir, tiny_drafter_dir, tmp_path, monkeypatch
):
    folder = tmp_path / "drafter"
    shutil.copytree(tiny_drafter_dir, folder)
    before = sorted(folder.iterdir())
    judged = [Reliability(0.125, 0.75, 30, 0.5, (Bin(0.5, 0.5, 30),))] * 5
    found = calibrate.Calibration(Temperatures((2.0,) * 5), judged, judged, 30, 30)
    prompts = jsonl("prompts.jsonl", {"id": "a", "prompt_token_ids": [1, 5]})
    args = ("calibrate", "--drafter", folder, "--prompts", prompts, "--target", tiny_target_dir)

    def replaced(*more, **options):
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"x")
        return found

    def full(*more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(calibrate, "calibrate", lambda *more, **options: found)
    with monkeypatch.context() as patch:
        patch.setattr(reliability, "write_json", full)
        said = cli(*args)
    assert said.code == 1
    assert "12.5% before" in said.err and "0.750" in said.out
    assert "free some disk and start again" in said.err
    assert sorted(folder.iterdir()) == before
    with monkeypatch.context() as patch:
        patch.setattr(calibrate, "calibrate", replaced)
        said = cli(*args)
    assert "were replaced meanwhile" in said.err
    assert sorted(folder.iterdir()) == before
    assert cli(*args).code == 0
    assert len(list(folder.iterdir())) == len(before) + 4
    assert Temperatures.load(folder, 5) == found.temperatures


def test_two_calibrations_of_one_drafter_do_not_run_at_once(
    cli, jsonl, tiny_target_dir, tiny_drafter_dir, tmp_path
):
    folder = tmp_path / "drafter"
    shutil.copytree(tiny_drafter_dir, folder)
    prompts = jsonl("prompts.jsonl", {"id": "a", "prompt_token_ids": [1, 5]})
    args = ("calibrate", "--drafter", folder, "--prompts", prompts, "--target", tiny_target_dir)
    with lock_drafter(folder, "agentspark calibrate"):
        said = cli(*args)
    assert said.code == 1
    assert "agentspark calibrate (process " in said.err
    assert "wait until that has ended" in said.err


def test_both_halves_have_prompts_of_every_kind(
    cli, jsonl, tiny_target_dir, tiny_drafter_dir, tmp_path, monkeypatch
):
    folder = tmp_path / "drafter"
    shutil.copytree(tiny_drafter_dir, folder)
    # Token 40 or 41 tells the kind.
    lines = [{"id": n, "kind": "ab"[n % 2], "prompt_token_ids": [1, 40 + n % 2]} for n in range(8)]
    seen = []

    def fit(engine, prompts, **options):
        assert engine.dtype == "bfloat16"
        seen.extend(prompts)
        raise TrainError("enough")

    monkeypatch.setattr(calibrate, "calibrate", fit)
    args = ("--drafter", folder, "--prompts", jsonl("prompts.jsonl", *lines))
    args = (*args, "--dtype", "bfloat16")
    assert cli("calibrate", *args, "--target", tiny_target_dir).code == 1
    for half in (seen[::2], seen[1::2]):
        assert sorted(tokens[1] for tokens in half) == [40, 40, 41, 41]


def test_what_is_no_folder_cannot_be_calibrated(cli, jsonl, tiny_target_dir):
    prompts = jsonl("prompts.jsonl", {"id": "a", "prompt_token_ids": [1, 5]})
    args = ("calibrate", "--prompts", prompts, "--target", tiny_target_dir, "--drafter")
    for name in ("auto", "none", "absent"):
        said = cli(*args, name)
        assert said.code == 2
        shown = " ".join(said.err.replace("│", " ").split())
        assert f"--drafter {name} is no folder: what is found is written there" in shown
