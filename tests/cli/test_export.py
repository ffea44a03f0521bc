"""``agentspark export``: other layouts, the same drafts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from agentspark.dspark.config import read_config
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.models.target import load_target
from agentspark.sampling.params import SamplingParams
from agentspark.train.blocks import run_blocks
from agentspark.train.build import initial_drafter, loaded_drafter
from agentspark.train.features import TargetReader


def drafts(target, drafter, prompts, max_tokens):
    """Every draft of every round, as the engine makes them."""
    found: list[list[int]] = []
    options = RequestOptions(speculation="dspark", verify="full", share_prefix=False)
    sampling = SamplingParams(max_tokens=max_tokens, ignore_eos=True)
    with (
        Engine.load(target, drafter=drafter) as engine,
        engine.watch_drafts(lambda draft, accepted, decided: found.append(draft.token_ids)),
    ):
        for prompt in prompts:
            engine.generate(prompt, sampling, options=options)
    return found


@pytest.mark.parametrize("layout", ["deepspec", "speculators"])
def test_an_exported_drafter_drafts_the_same(
    cli, tiny_target_dir, tiny_drafter_dir, tmp_path, layout
):
    out = tmp_path / layout
    said = cli("export", tiny_drafter_dir, "--target", tiny_target_dir, "--format", layout,
               "--out", out, "--verifier", "me/tiny")  # fmt: skip
    assert said.code == 0, said.err
    assert said.out.strip() == str(out)
    assert ("no pruned vocabulary" in said.err) is (layout == "deepspec")
    assert ("me/tiny" in (out / "config.json").read_text()) is (layout == "speculators")
    prompts = [[1, *range(n, n + 20)] for n in (40, 90, 200)]
    want = drafts(tiny_target_dir, tiny_drafter_dir, prompts, 40)
    assert drafts(tiny_target_dir, out, prompts, 40) == want
    assert len(want) > 60


@torch.no_grad()
def block_drafts(model, example, anchors):
    """Greedy drafts ``[N, K]`` of the blocks at ``anchors``."""
    size, head = model.config.block_size, model.markov_head
    hidden = run_blocks(model, [example], [anchors]).hidden.view(len(anchors), size, -1)
    previous, state, tokens = example.tokens[anchors], head.start(len(anchors)), []
    for k in range(size):
        bias, state = head.step(previous, hidden[:, k], state)
        previous = model.to_target_ids((model.base_logits(hidden[:, k]) + bias).argmax(-1))
        tokens.append(previous)
    return torch.stack(tokens, dim=1)


@pytest.mark.real
def test_the_shipped_drafter_drafts_the_same(cli, tmp_path, smollm2_dir):
    target = load_target("smollm2", dtype=torch.bfloat16)
    text = "The cache keeps the keys and values of every prefix that two requests share. " * 4
    tokens = target.tokenizer.encode(text)
    shipped = initial_drafter(Path("auto"), target)
    drafted = []
    layers = read_config(shipped).target_layer_ids
    example = TargetReader(target.model, layers).read(tokens, 8)
    for layout in (None, "deepspec", "speculators"):
        folder = shipped if layout is None else tmp_path / layout
        if layout is not None:
            assert cli("export", "auto", "--format", layout, "--out", folder).code == 0
        model = loaded_drafter(target, folder, torch.bfloat16)
        assert model.config.target_layer_ids == layers
        drafted.append(block_drafts(model, example, torch.arange(8, 48)))
    assert torch.equal(drafted[1], drafted[0])
    assert torch.equal(drafted[2], drafted[0])
    config = json.loads((tmp_path / "speculators" / "config.json").read_text())
    assert config["draft_vocab_size"] == read_config(shipped).draft_vocab_size
    assert config["speculators_config"]["verifier"]["name_or_path"] is None


def test_a_drafter_of_another_target_is_refused(cli, tiny_qwen3_dir, tiny_drafter_dir, tmp_path):
    said = cli("export", tiny_drafter_dir, "--target", tiny_qwen3_dir, "--format", "deepspec",
               "--out", tmp_path / "out")  # fmt: skip
    assert said.code == 1
    assert "trained for other weights" in said.err
    assert said.err.rstrip().endswith("give the target it was trained for with --model.")
    assert not (tmp_path / "out").exists()
