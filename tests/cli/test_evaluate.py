"""``agentspark eval`` from a prompt file to tables, JSON and plots, on the tiny target."""

from __future__ import annotations

import json

import pytest

from agentspark.evaluation import results
from agentspark.evaluation.results import Evaluation


@pytest.fixture
def prompts(jsonl):
    path = jsonl(
        "prompts.jsonl",
        {"id": "a", "kind": "chat", "messages": [{"role": "user", "content": "Read the file."}]},
        {"id": "b", "kind": "code", "messages": [{"role": "user", "content": "Add 2 and 40."}]},
        {"id": "long", "kind": "code", "messages": [{"role": "user", "content": "word " * 3000}]},
    )
    path.write_text(path.read_text() + "broken\n")
    return path


def test_families_are_compared(cli, prompts, tiny_target_dir, family_dir, tmp_path):
    folders = []
    for name in ("dspark", "eagle3"):
        folders.append(tmp_path / name)
        folders[-1].symlink_to(family_dir(name))
    out = tmp_path / "out"
    said = cli(
        "eval", "--target", tiny_target_dir, "--prompts", prompts, "--max-tokens", 12,
        "--drafter", f"{folders[0]},{folders[1]},suffix,none,{folders[1]}+suffix",
        "--out", out, "--seed", 3,
    )  # fmt: skip
    assert said.code == 0, said.err
    assert "line 4" in said.err
    assert "1 prompt was left out, without room for 12 more" in said.err
    assert "'long' (prompts.jsonl line 3)" in said.err
    assert "NOT the baseline" not in said.err
    found = Evaluation.model_validate_json((out / "evaluation.json").read_text())
    assert found.complete
    assert found.setup.prompts == 2
    assert found.kinds == ["chat", "code"]
    assert {entrant.name: entrant.family for entrant in found.entrants} == {
        "dspark": "dspark", "eagle3": "eagle3", "eagle3+suffix": "eagle3",
        "suffix": None, "none": None,
    }  # fmt: skip
    for entrant in found.entrants:
        for temperature in (0.0, 1.0):
            score = found.score(entrant.name, temperature)
            assert score is not None
            assert (score.identical, score.comparable) == (2, 2)
            assert score.wasted_tokens == score.verified_tokens - score.accepted_tokens >= 0
            assert (score.verified_tokens > 0) or entrant.speculation in ("off", "suffix")
    assert found.score("none", 0.0).accepted_length == 1.0
    for name in ("evaluation.png", "evaluation.svg"):
        assert (out / name).stat().st_size > 1000


def test_what_a_full_disk_does_not_take_is_shown(
    cli, prompts, tiny_target_dir, tmp_path, monkeypatch
):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results, "write_text", full)
    said = cli(
        "eval", "--target", tiny_target_dir, "--prompts", prompts, "--max-tokens", 4,
        "--drafter", "none", "--temperatures", "0", "--limit", 1, "--out", tmp_path / "out",
    )  # fmt: skip
    assert said.code == 1
    assert "free some disk" in said.err
    assert "Tok/s" in said.out and "none" in said.out


def test_what_cannot_be_evaluated_is_told(cli, prompts, tiny_target_dir, tmp_path):
    args = ("eval", "--target", tiny_target_dir, "--prompts", prompts)
    said = cli(*args, "--drafter", tmp_path / "absent")
    assert (said.code, "no drafter folder" in said.err) == (1, True)
    said = cli(*args, "--drafter", "shipped")
    assert (said.code, "No drafter is shipped" in said.err) == (1, True)
    said = cli(*args, "--temperatures", "warm", "--drafter", "none")
    assert said.code == 2
    said = cli(*args, "--temperatures", "0,0", "--drafter", "none")
    assert (said.code, "different numbers" in said.err) == (1, True)
    empty = tmp_path / "empty.jsonl"
    empty.write_text(json.dumps({"id": 1}) + "\n")
    said = cli("eval", "--prompts", empty, "--target", tiny_target_dir, "--drafter", "none")
    assert (said.code, "line 1" in said.err) == (1, True)


@pytest.mark.real
def test_the_shipped_drafter_changes_no_output(cli, jsonl, smollm2_dir, tmp_path):
    messages = [{"role": "user", "content": "Name three colours and three animals."}]
    prompts = jsonl("prompts.jsonl", {"id": "a", "kind": "chat", "messages": messages})
    said = cli(
        "eval", "--target", smollm2_dir, "--prompts", prompts, "--drafter", "shipped",
        "--temperatures", "0", "--max-tokens", 12, "--out", tmp_path,
    )  # fmt: skip
    assert said.code == 0, said.err
    assert all(len(line) <= 80 for line in said.out.splitlines())
    score = Evaluation.model_validate_json((tmp_path / "evaluation.json").read_text()).score(
        "shipped", 0.0
    )
    assert score is not None
    assert (score.identical, score.comparable) == (1, 1)
    assert score.accepted_length is not None
    assert score.accepted_length > 1.0


def test_a_place_for_the_results_that_is_none_is_told_before_any_engine_runs(
    cli, prompts, tmp_path
):
    for out in (prompts, prompts / "below"):
        said = cli("eval", "--target", tmp_path / "no-target", "--prompts", prompts, "--out", out)
        assert said.code == 1
        assert said.err == f"error: --out {out} cannot be written to: give another folder.\n"
