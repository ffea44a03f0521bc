"""Drafters of every family for the tiny target, trained until some of their drafts are right."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import torch

from agentspark.dspark.checkpoint import save_drafter
from agentspark.models import load_target
from agentspark.sampling.params import SamplingParams
from agentspark.train.blocks import Example
from agentspark.train.build import new_drafter
from agentspark.train.config import DataConfig, DrafterShape, OptimConfig
from agentspark.train.features import TargetReader
from agentspark.train.store import FeatureStore, write_shard
from agentspark.train.trainer import Trainer

VOCAB, BLOCK, NEW = 512, 4, 32
SHAPES = {
    "dspark": DrafterShape.of(
        "dspark", layers=1, block_size=BLOCK, markov_rank=8, draft_vocab_size=400
    ),
    "dflash": DrafterShape.of("dflash", layers=1, block_size=BLOCK, draft_vocab_size=0),
    "dflash-anchor": DrafterShape.of(
        "dflash", layers=1, block_size=BLOCK, sample_from_anchor=True, draft_vocab_size=400
    ),
    "eagle3": DrafterShape.of("eagle3", block_size=BLOCK, draft_vocab_size=400),
    "mtp": DrafterShape.of("mtp", draft_vocab_size=0),
}
GREEDY = SamplingParams(max_tokens=NEW, ignore_eos=True)

FamilyDir = Callable[[str], Path]


def prompts(count: int = 6) -> list[list[int]]:
    """Random prompts, the same every time."""
    rng = random.Random(5)
    return [[rng.randrange(3, VOCAB) for _ in range(rng.randrange(20, 40))] for _ in range(count)]


def greedy_features(target_dir: Path, folder: Path) -> FeatureStore:
    """The tiny target's greedy answers to ``prompts``, with what drafters learn from."""
    target = load_target(target_dir, dtype=torch.bfloat16)
    reader = TargetReader(target.model, (0, 1))
    items: list[tuple[str, str, float, Example]] = []
    for number, prompt in enumerate(prompts()):
        ids = target.model.generate(
            torch.tensor([prompt]), max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False
        )
        example = reader.read(ids[0].tolist(), len(prompt))
        items.append((str(number), "chat", 0.0, example))
    folder.mkdir(exist_ok=True)
    write_shard(folder / "shard-00000.safetensors", items)
    return FeatureStore(folder)


def train(
    name: str, target_dir: Path, store: FeatureStore, folder: Path, *, steps: int = 60
) -> list[float]:
    """Train a drafter into ``folder/drafter``; returns the losses of the log."""
    # Matrices this small are faster on one thread, the more so where others compute beside it.
    torch.set_num_threads(1)
    target = load_target(target_dir, dtype=torch.bfloat16)
    model = new_drafter(target, SHAPES[name], torch.arange(VOCAB, 0, -1.0), 0, torch.bfloat16)
    folder.mkdir(parents=True, exist_ok=True)
    optim = OptimConfig(
        steps=steps, sequences_per_step=3, anchors_per_sequence=16, lr=5e-3, log_every=10
    )
    losses: list[float] = []
    trainer = Trainer(model, store, folder, optim, DataConfig(held_out_every=10**6))
    trainer.run(lambda _, numbers: losses.append(numbers["loss"]))
    save_drafter(model, folder / "drafter")
    return losses
