"""``agentspark train`` hands its options on and says what came of it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from agentspark.cli import train
from agentspark.train.evaluate import OfflineTau
from agentspark.train.pipeline import TrainOutcome
from agentspark.train.state import STATE_FILE, load_state


def test_a_tiny_drafter_is_trained_and_drafts(cli, jsonl, tiny_target_dir, tmp_path):
    prompts = jsonl(
        "prompts.jsonl",
        *(
            {"id": str(n), "messages": [{"role": "user", "content": f"Read file {n} and note it."}]}
            for n in range(12)
        ),
    )
    out = tmp_path / "drafter"
    said = cli(
        "train", "--prompts", prompts, "--out", out, "--target", tiny_target_dir, "--layers", 1,
        "--block-size", 3, "--draft-vocab", 0, "--max-tokens", 16, "--steps", 3, "--online",
        "--temperatures", "0.5,1", "--batch", 2, "--anchors", 5, "--dtype", "bfloat16",
    )  # fmt: skip
    assert said.code == 0, said.err
    lines = (out / "work" / "responses.jsonl").read_text().splitlines()
    assert {json.loads(line)["temperature"] for line in lines} == {0.5, 1.0}
    card = (out / "README.md").read_text()
    assert "3 steps, 30 anchors" in card
    assert "2 responses a step, 5 anchors of each" in card
    assert said.out.strip().splitlines()[-1] == str(out)
    # No response is greedy.
    assert "12 responses; accepted length on held-out ones unknown greedy, 1." in said.err
    assert "| 0 | unknown | unknown |" in card
    assert (out / "model.safetensors").exists()
    assert load_state(out / "work" / STATE_FILE).dtype == "bfloat16"
    answer = cli("chat", "Hello", "--model", tiny_target_dir, "--drafter", out, "--max-tokens", 6)
    assert answer.code == 0, answer.err


def test_what_was_not_measured_is_said_with_what_to_do():
    tau = OfflineTau(None, None, [], [], rounds=0, anchors=0)
    none = TrainOutcome(Path("out"), tau, 5, 0, ())
    assert train._measured(none).startswith("no prompt was held out, so nothing was measured: give")
    some = replace(none, held_out=2, tau=replace(tau, sampled=1.5))
    said = "accepted length on held-out ones unknown greedy, 1.50 at temperature 1"
    assert train._measured(some) == said


def test_the_command_on_the_card_has_torchrun(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/some/bin/agentspark", "train", "--out", "a b"])
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert train._command() == "agentspark train --out 'a b'"
    for name, value in {"RANK": 1, "LOCAL_RANK": 1, "WORLD_SIZE": 4, "LOCAL_WORLD_SIZE": 4}.items():
        monkeypatch.setenv(name, str(value))
    launched = "--nproc-per-node {} agentspark train --out 'a b'"
    assert train._command() == f"torchrun --no-python {launched.format(4)}"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert train._command() == f"torchrun --no-python --nnodes 2 {launched.format(2)}"


def test_options_that_cannot_be_are_named(cli, jsonl, tiny_target_dir, tmp_path):
    prompts = jsonl("prompts.jsonl", {"id": "a", "messages": [{"role": "user", "content": "a"}]})
    args = ("train", "--prompts", prompts, "--model", tiny_target_dir, "--out", tmp_path / "out")
    said = cli(*args, "--steps", 0)
    assert (said.code, said.err[:14]) == (1, "error: steps=0")
    said = cli(*args, "--device", "mars")
    assert said.code == 1
    assert "error: device='mars' is unknown" in said.err
    assert cli(*args, "--head", "other").code == 2
    assert cli(*args, "--temperatures", "0;1").code == 2
    for size in ("inf", "nan", "0"):
        said = cli(*args, "--max-disk", size)
        assert (said.code, said.err.split(" cannot")[0]) == (1, f"error: --max-disk {size}")


def test_sources_that_do_not_go_together_are_a_usage_error(cli, jsonl, tmp_path):
    prompts = jsonl("prompts.jsonl", {"id": "a", "messages": [{"role": "user", "content": "a"}]})
    out = ("train", "--out", tmp_path / "out")
    adapts = ("--from-traces", prompts, "--init", tmp_path)
    for args, words in (
        ((), "--prompts, --from-traces or both"),
        (("--from-traces", prompts), "give it with --init"),
        (("--prompts", prompts, "--replay", prompts), "--replay goes with --from-traces"),
        (("--prompts", prompts, "--replay-share", 0), "--replay-share goes with --from-traces"),
        ((*adapts, "--max-tokens", 9), "--max-tokens needs --prompts"),
        ((*adapts, "--temperatures", "1"), "--temperatures needs --prompts"),
        ((*adapts, "--data-from", tmp_path), "--data-from does not go with --from-traces"),
        ((*adapts, "--data-licence", "MIT"), "--data-licence does not go with --from-traces"),
        ((*adapts, "--prompt-anchors", 4), "--prompt-anchors does not go with --from-traces"),
    ):
        said = cli(*out, *args)
        assert said.code == 2
        assert words in " ".join(said.err.replace("│", " ").split())


def test_a_drafter_is_adapted_to_what_generate_traced(
    cli, jsonl, tiny_target_dir, tiny_drafter_dir, tmp_path
):
    prompts = jsonl(
        "prompts.jsonl",
        *({"id": n, "prompt_token_ids": [1, *range(40, 50), 60 + n]} for n in range(10)),
    )
    trace, out = tmp_path / "traces" / "t.jsonl", tmp_path / "out"
    target = ("--model", tiny_target_dir)
    answers = ("generate", *target, "--drafter", "none", "--prompts", prompts, "--max-tokens", 12,
               "--ignore-eos", "--out", tmp_path / "answers.jsonl", "--trace", trace)  # fmt: skip
    adapt = ("train", *target, "--from-traces", trace.parent, "--init", tiny_drafter_dir,
             "--out", out, "--steps", 2, "--lr", 1e-12)  # fmt: skip
    assert cli(*answers).code == 0
    said = cli(*adapt)
    assert said.code == 1
    assert "carries prompt and output token ids" in said.err
    assert cli(*answers, "--trace-tokens").code == 0
    said = cli(*adapt)
    assert said.code == 1
    assert "The adapted drafter is not better" in said.err
    assert not (out / "model.safetensors").exists()
