"""Made-up sequences for the trainer's parts, and a real tiny target for the whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from agentspark.dspark.model import DSparkModel
from agentspark.train.blocks import Example
from agentspark.train.plotting import FORMATS
from agentspark.train.store import FeatureStore, write_shard
from tests.dspark.small import VOCAB, pruned, small_drafter

Make = Callable[..., Example]


@pytest.fixture
def drawn() -> None:
    """Asked for where runs draw their logs, as they do for users."""


@pytest.fixture(autouse=True)
def _empty_plots(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the plots of runs empty files: to draw one takes longer than a tiny training."""
    if "drawn" in request.fixturenames:
        return

    def touch(log: Path) -> list[Path]:
        files = [log.with_suffix(f".{kind}") for kind in FORMATS]
        for file in files:
            file.touch()
        return files

    for room in ("pipeline", "adapt"):
        monkeypatch.setattr(f"agentspark.train.{room}.plot_log", touch)


@pytest.fixture
def model() -> DSparkModel:
    """A small drafter with a pruned vocabulary."""
    return small_drafter(pruned())


@pytest.fixture
def make_example(model: DSparkModel) -> Make:
    """Make an example whose stored predictions fit ``full_head``, the target's whole LM head."""

    def make(size: int = 14, start: int = 5, seed: int = 0) -> Example:
        generator = torch.Generator().manual_seed(seed)
        last = torch.randn(size - start, 32, generator=generator)
        logits = last @ full_head(model).t()
        return Example(
            tokens=torch.randint(0, VOCAB, (size,), generator=generator),
            start=start,
            hidden=torch.randn(size, 64, generator=generator),
            last=last,
            log_norm=torch.logsumexp(logits, dim=-1),
            best=logits.argmax(dim=-1),
        )

    return make


def full_head(model: DSparkModel) -> torch.Tensor:
    """A whole LM head ``[V, d]`` whose draftable rows are the drafter's."""
    generator = torch.Generator().manual_seed(99)
    whole = torch.randn(VOCAB, 32, generator=generator)
    assert model.lm_head is not None
    if model.draft_token_ids is None:
        return model.lm_head
    whole[model.draft_token_ids] = model.lm_head
    return whole


@pytest.fixture
def store(make_example: Make, tmp_path: Path) -> FeatureStore:
    """Twelve sequences in two shards."""
    folder = tmp_path / "features"
    folder.mkdir()
    for shard in range(2):
        items = [
            (f"p{shard}-{i}", "chat", 0.0, make_example(10 + i, 4, seed=10 * shard + i))
            for i in range(6)
        ]
        write_shard(folder / f"shard-{shard:05d}.safetensors", items)
    return FeatureStore(folder)
