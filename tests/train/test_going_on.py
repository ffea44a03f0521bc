"""Where a run goes on: its state is what was written, and changed settings are not taken silently.

How it goes on to the same bits is in ``test_trainer.py``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agentspark.errors import TrainError
from agentspark.train.config import DataConfig, OptimConfig
from agentspark.train.loss import LossWeights
from agentspark.train.ranks import Ranks
from agentspark.train.settings import changed_settings, settings_of
from agentspark.train.state import load_state
from agentspark.train.trainer import Trainer
from tests.dspark.small import pruned, small_drafter
from tests.train.test_trainer import DATA, OPTIM, events, make, weights


def flip(path: Path, share: float = 0.5) -> None:
    """Change one bit at ``share`` of the file."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * share)] ^= 1
    path.write_bytes(content)


def stopped(store, folder: Path, steps: int = 2, **changed) -> Trainer:
    """A run that saved after each of ``steps`` steps and was stopped then."""
    trainer = make(store, folder, checkpoint_every_s=1e-9, log_every=1, **changed)

    def stop(share, numbers):
        if trainer.cursor.step == steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.run(stop)
    return trainer


def told(store, folder: Path, data: DataConfig = DATA, **changed) -> tuple[Trainer, list[str]]:
    said: list[str] = []
    optim = replace(OPTIM, **changed)
    return Trainer(small_drafter(pruned()), store, folder, optim, data, tell=said.append), said


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_flipped_bit_is_noticed_and_the_state_before_gone_on_from(
    store, tmp_path: Path, share: float
):
    folder = tmp_path / "run"
    stopped(store, folder)
    flip(folder / "state.pt", share)
    again, said = told(store, folder)
    assert again.cursor.step == 1
    [sentence] = said
    assert "cannot be read" in sentence
    assert "from the one before it, at step 1" in sentence
    assert [e["event"] for e in events(folder)][-2:] == ["resumed", "broken state"]
    again.run()
    straight = make(store, tmp_path / "straight")
    straight.run()
    for name, want in weights(straight).items():
        assert torch.equal(weights(again)[name], want), name
    assert told(store, folder)[0].cursor.step == OPTIM.steps


def test_a_broken_state_never_takes_the_place_of_the_good_one_before_it(store, tmp_path: Path):
    folder = tmp_path / "run"
    stopped(store, folder)
    flip(folder / "state.pt")
    good = (folder / "state-before.pt").read_bytes()
    again, _ = told(store, folder)
    again.save()
    assert (folder / "state-before.pt").read_bytes() == good
    written = (folder / "state.pt").read_bytes()
    again.save()
    assert (folder / "state-before.pt").read_bytes() == written


def test_where_both_states_are_broken_it_is_said_what_is_left(store, tmp_path: Path):
    folder = tmp_path / "run"
    stopped(store, folder)
    for name in ("state.pt", "state-before.pt"):
        flip(folder / name)
    with pytest.raises(TrainError, match=r"move it away .*--init .*run/drafter"):
        told(store, folder)


def test_a_run_that_begins_anew_keeps_nothing_of_the_one_before_it(store, tmp_path: Path):
    folder = tmp_path / "run"
    stopped(store, folder)
    (folder / "state.pt").unlink()
    make(store, folder).save()
    assert not (folder / "state-before.pt").exists()


def test_a_file_system_without_links_keeps_one_state(store, tmp_path: Path, monkeypatch):
    def refuse(*args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("agentspark.train.state.os.link", refuse)
    stopped(store, tmp_path / "run")
    assert not (tmp_path / "run" / "state-before.pt").exists()
    assert told(store, tmp_path / "run")[0].cursor.step == 2


def test_processes_that_read_different_states_do_not_go_on(store, tmp_path: Path):
    class Second(Ranks):
        def agree(self, value: float) -> float:
            return value + 1

    trainer = Trainer(
        small_drafter(pruned()), store, tmp_path, OPTIM, DATA, ranks=Second(rank=1, world=1)
    )
    with pytest.raises(TrainError, match="the first one does not"):
        trainer.run()


def test_settings_that_change_are_told_logged_and_remembered(store, tmp_path: Path):
    folder = tmp_path / "run"
    stopped(store, folder, ema=0.9)
    assert told(store, folder, ema=0.9)[1] == []
    again, said = told(store, folder, lr=2e-2, sequences_per_step=2)
    assert said == [
        "lr is 0.02 from step 2 on, 0.01 before.",
        "ema is none from step 2 on, 0.9 before.",
        "batch is 2 from step 2 on, 3 before.",
    ]
    assert [e["what"] for e in events(folder) if e["event"] == "changed"] == said
    again.save()
    same, nothing = told(store, folder, lr=2e-2, sequences_per_step=2)
    assert (same.changes, nothing) == (said, [])
    same.run()
    assert load_state(folder / "state.pt").changes == said


def test_a_run_that_has_ended_takes_no_other_settings(store, tmp_path: Path):
    folder = tmp_path / "run"
    make(store, folder).run()
    ended, said = told(store, folder, lr=2e-2)
    assert ended.changes == []
    [sentence] = said
    assert "ended before, at step 12: nothing is trained" in sentence
    ended.run()
    longer, said = told(store, folder, steps=14, lr=2e-2)
    assert said == [
        "steps is 14 from step 12 on, 12 before.",
        "lr is 0.02 from step 12 on, 0.01 before.",
    ]
    longer.run()
    assert longer.cursor.step == 14


def test_what_was_trained_on_is_never_measured_on(store, tmp_path: Path):
    trainer = make(store, tmp_path / "run")
    trainer.save()  # before the first step no sequence is counted
    with pytest.raises(TrainError, match=r"one of 5 prompts.*held_out_every it was started with"):
        told(store, tmp_path / "run", replace(DATA, held_out_every=3))


def test_a_state_that_notes_no_settings_is_gone_on_with(store, tmp_path: Path):
    path = tmp_path / "run" / "state.pt"
    make(store, tmp_path / "run").save()
    state = torch.load(path, weights_only=True)
    del state["settings"], state["changes"]
    torch.save(state, path)
    assert told(store, tmp_path / "run", lr=2e-2)[1] == []


def test_weight_decay_that_changes_is_what_is_used(store, tmp_path: Path):
    make(store, tmp_path / "run", weight_decay=0.0).save()
    again, said = told(store, tmp_path / "run", weight_decay=0.5)
    assert said == ["weight_decay is 0.5 from step 0 on, 0 before."]
    assert [group["weight_decay"] for group in again.optimizer.adam.param_groups] == [0.5]


def test_every_setting_that_decides_what_is_learned_is_noted():
    before = settings_of(OptimConfig(), DataConfig(), 4)
    optim = OptimConfig(
        steps=9, minutes=2.0, anchors_per_sequence=3, prompt_anchors=1, lr=1.0, warmup=0.5,
        final_lr=0.5, weight_decay=0.1, clip=2.0, ema=0.5,
        loss=LossWeights(ce=0.2, l1=0.3, confidence=0.4, decay=None),
        seed=3, dtype="float32", checkpoint_every_s=1.0, evaluate_every_s=1.0, log_every=3,
    )  # fmt: skip
    now = settings_of(optim, DataConfig(max_tokens=9, temperatures=(0.5,)), 8)
    said = changed_settings(before, now, 7)
    assert len(said) == len(before) - 1  # all but held_out_every
    assert "temperatures is 0.5 from step 7 on, 0, 0.8 before (responses that are" in " ".join(said)
