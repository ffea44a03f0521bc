"""``agentspark train`` hands its options on and says what came of it."""

from __future__ import annotations


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
        "train", "--prompts", prompts, "--out", out, "--model", tiny_target_dir, "--layers", 1,
        "--block-size", 3, "--draft-vocab", 0, "--max-tokens", 16, "--steps", 3, "--online",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert said.out.strip().splitlines()[-1] == str(out)
    assert "12 responses; accepted length on held-out ones" in said.err
    assert (out / "model.safetensors").exists()
    answer = cli("chat", "Hello", "--model", tiny_target_dir, "--drafter", out, "--max-tokens", 6)
    assert answer.code == 0, answer.err


def test_options_that_cannot_be_are_named(cli, jsonl, tiny_target_dir, tmp_path):
    prompts = jsonl("prompts.jsonl", {"id": "a", "messages": [{"role": "user", "content": "a"}]})
    args = ("train", "--prompts", prompts, "--model", tiny_target_dir, "--out", tmp_path / "out")
    said = cli(*args, "--steps", 0)
    assert (said.code, said.err[:14]) == (1, "error: steps=0")
    assert cli(*args, "--head", "other").code == 2
