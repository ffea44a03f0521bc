"""Two processes train one drafter: the same weights on both, one of them writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from agentspark.errors import ConfigError, LostRankError
from agentspark.train import trainer as trainer_module
from agentspark.train.ranks import Ranks
from tests.train.test_trainer import make

SCRIPT = """
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch

from agentspark.errors import LostRankError
from agentspark.train.ranks import Ranks
from agentspark.train.store import FeatureStore
from agentspark.train.trainer import Trainer
from tests.dspark.small import pruned, small_drafter
from tests.train.test_trainer import DATA, OPTIM

torch.set_num_threads(1)
features, out = map(Path, sys.argv[1:])
ranks = Ranks.from_environment()
with ranks.together():
    assert ranks.agree(float(ranks.rank)) == 0.0
    weight = torch.nn.Parameter(torch.zeros(3))
    weight.grad = torch.full((3,), 1.0 + ranks.rank)
    ranks.average([weight, torch.nn.Parameter(torch.zeros(2))])
    assert weight.grad.tolist() == [1.5, 1.5, 1.5], weight.grad
    folder = out / f"rank-{ranks.rank}"
    folder.mkdir()
    optim = replace(OPTIM, steps=6, sequences_per_step=2, minutes=60.0, log_every=2)
    trainer = Trainer(
        small_drafter(pruned()), FeatureStore(features), folder, optim, DATA, ranks=ranks
    )
    trainer.run()
    assert trainer.cursor.step == 6 and trainer.anchors == 6 * 4 * 4
    torch.save([p.detach() for p in trainer.model.parameters()], out / f"{ranks.rank}.pt")
    if not ranks.first:
        os._exit(0)
    try:
        ranks.wait()
    except LostRankError as error:
        (out / "lost").write_text(str(error))
"""


@pytest.mark.filterwarnings("ignore")
def test_torchrun_shares_a_training(store, tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            str(script), str(store.folder), str(tmp_path),
        ],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    names = {path.name for path in (tmp_path / "rank-0").iterdir()}
    assert names == {"run.jsonl", "state.pt", "drafter"}
    assert not list((tmp_path / "rank-1").iterdir())
    lines = (tmp_path / "rank-0" / "run.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4, 6, 6]
    assert "another process of this training has ended" in (tmp_path / "lost").read_text()


def test_one_process_has_nobody_to_wait_for(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = Ranks.from_environment()
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.ones(2)
    with alone.together():
        alone.wait()
        alone.average([weight])
    assert weight.grad.tolist() == [1.0, 1.0]
    assert (alone.first, alone.world, alone.agree(3.5)) == (True, 1, 3.5)


def test_ranks_that_cannot_be_are_named(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match="start training with torchrun"):
        Ranks.from_environment()


def test_the_device_that_is_asked_for_is_computed_on(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    places = [Ranks(1, 2, 1, asked).device for asked in (None, "cuda", "cpu")]
    assert places == ["cuda:1", "cuda:1", "cpu"]
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert Ranks.from_environment("cuda:3").device == "cuda:3"
    for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    assert Ranks.from_environment("cpu").device == "cpu"
    with pytest.raises(ConfigError, match="'cuda:3' is one for all 2 processes"):
        Ranks.from_environment("cuda:3")


def test_a_process_without_a_gpu_of_its_own_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="process 1 of this machine has no GPU"):
        Ranks(1, 2, 1, "cuda").together().__enter__()


def test_a_process_that_lost_another_saves_though_it_is_told_to_end_meanwhile(
    store, tmp_path: Path, monkeypatch
):
    def lost(ranks, params):
        if trainer.cursor.step == 3:
            raise LostRankError("another process has ended")

    monkeypatch.setattr(Ranks, "average", lost)
    trainer = make(store, tmp_path / "run")
    real, told = trainer_module.save_state, []

    def save(*args):
        if not told:
            told.append("SIGTERM")
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(trainer_module, "save_state", save)
    with pytest.raises(LostRankError):
        trainer.run()
    assert make(store, tmp_path / "run").cursor.step == 3
