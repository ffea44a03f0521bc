"""The loop: it learns, resumes to the same bits, and stops safely."""

from __future__ import annotations

import json
import math
import resource
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from agentspark.dspark.checkpoint import load_drafter
from agentspark.dspark.model import DraftModel
from agentspark.errors import DivergedError, TrainError
from agentspark.train import trainer as trainer_module
from agentspark.train.config import DataConfig, OptimConfig
from agentspark.train.evaluate import OfflineTau
from agentspark.train.judge import measure
from agentspark.train.ranks import Ranks
from agentspark.train.source import split_source
from agentspark.train.trainer import Trainer
from tests.dspark.small import pruned, small_drafter

OPTIM = OptimConfig(
    steps=12, sequences_per_step=3, anchors_per_sequence=4, lr=1e-2, log_every=4,
    checkpoint_every_s=1e9, evaluate_every_s=1e9,
)  # fmt: skip
DATA = DataConfig(held_out_every=5)


def make(store, folder: Path, **changed) -> Trainer:
    folder.mkdir(exist_ok=True)
    return Trainer(small_drafter(pruned()), store, folder, replace(OPTIM, **changed), DATA)


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


def events(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]


def test_the_loss_falls(store, tmp_path: Path):
    trainer = make(store, tmp_path / "run", steps=60)
    seen = []
    trainer.run(lambda share, numbers: seen.append((share, numbers["loss"])))
    assert seen[-1][1] < 0.8 * seen[0][1]
    assert seen[-1][0] == 1.0
    log = events(tmp_path / "run")
    assert [e["event"] for e in log] == ["step"] * 15 + ["evaluation"]
    assert log[-2]["step"] == 60
    assert math.isclose(log[-2]["lr"], OPTIM.lr * OPTIM.final_lr, rel_tol=1e-6)


@pytest.mark.parametrize("ema", [None, 0.8])
def test_a_killed_run_goes_on_to_the_same_bits(store, tmp_path: Path, ema: float | None):
    straight = make(store, tmp_path / "straight", ema=ema)
    straight.run()
    broken = make(store, tmp_path / "broken", ema=ema)

    def kill(share, numbers):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken.run(kill)
    assert broken.cursor.step == 4
    resumed = make(store, tmp_path / "broken", ema=ema)
    assert (resumed.cursor, resumed.anchors) == (broken.cursor, broken.anchors)
    resumed.run()
    assert resumed.anchors == straight.anchors
    for name, want in weights(straight).items():
        assert torch.equal(weights(resumed)[name], want), name
    written = load_drafter(tmp_path / "straight" / "drafter").state_dict()
    for name, tensor in load_drafter(tmp_path / "broken" / "drafter").state_dict().items():
        assert torch.equal(tensor, written[name]), name


def test_with_an_average_that_is_what_is_measured_and_written(store, tmp_path: Path):
    plain = make(store, tmp_path / "plain")
    means = weights(plain)
    step = plain.optimizer.step

    def watched(lr):
        norm = step(lr)
        for name, w in weights(plain).items():
            means[name].lerp_(w, 1.0 - 0.8)
        return norm

    plain.optimizer.step = watched
    plain.run()
    averaged = make(store, tmp_path / "averaged", ema=0.8)
    tau = averaged.run()
    for name, w in weights(plain).items():
        assert torch.equal(weights(averaged)[name], w), name
    written = load_drafter(tmp_path / "averaged" / "drafter", dtype=torch.float32)
    for name, tensor in written.named_parameters():
        torch.testing.assert_close(tensor, means[name], atol=4e-3, rtol=1e-2)
    assert _measured(store, written) == tau
    # Of sequences that are asked for too: replayed ones tell what an adaptation forgot.
    assert averaged.measure_on([0, 3]) == _measured(store, written, [0, 3])


def test_what_is_measured_is_what_is_written_rounding_and_all(store, tmp_path: Path):
    trainer = make(store, tmp_path / "run")
    tau = trainer.run()
    assert trainer.model.backbone.fc.weight.dtype == torch.float32
    assert _measured(store, load_drafter(trainer.drafter, dtype=torch.float32)) == tau


def _measured(store, written: DraftModel, numbers: Sequence[int] = ()) -> OfflineTau:
    """What a trainer would measure of the drafter."""
    model = small_drafter(pruned())
    model.load_state_dict({**model.state_dict(), **written.state_dict()})
    held_out = split_source(store, DATA.held_out_every, DATA.held_out_most).held_out
    return measure(model, store, numbers or held_out)


def test_a_kill_while_weights_change_saves_nothing(store, tmp_path: Path, monkeypatch):
    trainer = make(store, tmp_path / "run")
    trainer.save()
    before = (tmp_path / "run" / "state.pt").read_bytes()
    real = trainer.optimizer.step

    def step(lr):
        real(lr)
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer.optimizer, "step", step)
    with pytest.raises(KeyboardInterrupt):
        trainer.run()
    assert (tmp_path / "run" / "state.pt").read_bytes() == before


def test_the_saved_drafter_is_the_trained_one(store, tmp_path: Path):
    trainer = make(store, tmp_path / "run")
    trainer.run()
    saved = load_drafter(tmp_path / "run" / "drafter", dtype=torch.bfloat16)
    for name, want in weights(trainer).items():
        assert torch.equal(dict(saved.named_parameters())[name], want.bfloat16()), name


def test_a_loss_that_is_not_finite_stops_and_keeps_what_was_saved(
    store, tmp_path: Path, monkeypatch
):
    trainer = make(store, tmp_path / "run", checkpoint_every_s=1e-9)
    real = trainer_module.block_loss

    def broken(*args):
        parts = real(*args)
        fails = trainer.cursor.step == 5 and parts.total.requires_grad
        return replace(parts, total=parts.total * math.nan) if fails else parts

    monkeypatch.setattr(trainer_module, "block_loss", broken)
    with pytest.raises(DivergedError, match=r"step 5 .*the state saved before is kept"):
        trainer.run()
    assert events(tmp_path / "run")[-1]["event"] == "diverged"
    monkeypatch.undo()
    again = make(store, tmp_path / "run")
    assert again.cursor.step == 5
    assert all(bool(torch.isfinite(w).all()) for w in weights(again).values())


@pytest.mark.parametrize("ema", [None, 0.9])
def test_weights_that_end_in_no_finite_loss_are_not_saved(store, tmp_path: Path, ema):
    trainer = make(store, tmp_path / "run", steps=4, ema=ema)
    real = trainer.optimizer.step

    def far(lr: float) -> float:
        norm = real(lr)
        if trainer.cursor.step == 3:  # the last step, after which none would tell
            o = trainer.optimizer
            with torch.no_grad():
                torch._foreach_mul_(o.master if o.average is None else o.average, 1e30)
                torch._foreach_copy_(o.params, o.master)
        elif trainer.cursor.step == 2:
            trainer.save()
        return norm

    trainer.optimizer.step = far
    with pytest.raises(DivergedError, match=r"step 4 .*the state saved before is kept"):
        trainer.run()
    assert events(tmp_path / "run")[-1]["event"] == "diverged"
    again = make(store, tmp_path / "run", steps=4, ema=ema)
    assert again.cursor.step == 2
    again.run()  # from a good state


def test_a_loss_that_is_not_finite_at_once_tells_of_no_state(store, tmp_path: Path, monkeypatch):
    trainer, real = make(store, tmp_path / "run"), trainer_module.block_loss

    def broken(*args):
        parts = real(*args)
        return replace(parts, total=parts.total * math.nan)

    monkeypatch.setattr(trainer_module, "block_loss", broken)
    with pytest.raises(DivergedError, match=r"step 0 .*: nothing was saved before"):
        trainer.run()


def test_states_of_the_target_that_are_not_finite_are_named(store, tmp_path: Path, monkeypatch):
    trainer, real = make(store, tmp_path / "run"), store.examples
    poisoned = store.entry(trainer.split.train[2]).id

    def examples(numbers):
        return [
            replace(e, hidden=e.hidden * math.nan) if store.entry(i).id == poisoned else e
            for i, e in zip(numbers, real(numbers), strict=True)
        ]

    monkeypatch.setattr(store, "examples", examples)
    with pytest.raises(DivergedError, match=rf"states of {poisoned} are not finite: delete"):
        trainer.run()


def test_a_gradient_that_is_not_finite_moves_nothing(store, tmp_path: Path):
    trainer = make(store, tmp_path / "run")
    before = weights(trainer)
    for parameter in trainer.model.parameters():
        parameter.grad = torch.full_like(parameter, math.inf)
    assert not math.isfinite(trainer.optimizer.step(0.1))
    assert all(torch.equal(weights(trainer)[n], w) for n, w in before.items())


def test_other_settings_and_missing_data_are_not_resumed(store, tmp_path: Path):
    make(store, tmp_path / "run").run()
    with pytest.raises(TrainError, match="another drafter or seed"):
        make(store, tmp_path / "run", seed=1)
    known = store.entries
    store.entries = known[::-1]
    with pytest.raises(TrainError, match="trained on other sequences"):
        make(store, tmp_path / "run")
    store.entries = known[:4]
    with pytest.raises(TrainError, match="put the missing"):
        make(store, tmp_path / "run")
    (tmp_path / "run" / "state.pt").write_bytes(b"broken")
    with pytest.raises(TrainError, match="move it away"):
        make(store, tmp_path / "run")


def test_a_run_in_another_format_is_not_gone_on_with(store, tmp_path: Path):
    make(store, tmp_path / "run").save()
    other = small_drafter(pruned()).bfloat16()
    with pytest.raises(TrainError, match=r"run in float32, .* in bfloat16: give --dtype float32"):
        Trainer(other, store, tmp_path / "run", OPTIM, DATA)


def test_a_config_that_notes_other_anchors_is_the_same_drafters(store, tmp_path: Path):
    make(store, tmp_path / "run").save()
    other = small_drafter(pruned(num_anchors=32))
    assert other.config.to_json() != small_drafter(pruned()).config.to_json()
    Trainer(other, store, tmp_path / "run", OPTIM, DATA)


def test_a_state_of_other_draft_tokens_is_not_gone_on_with(store, tmp_path: Path):
    make(store, tmp_path / "run").save()
    other = small_drafter(pruned())
    other.draft_token_ids[-1] -= 1
    with pytest.raises(TrainError, match=r"drafts other tokens .* prompts it was started with"):
        Trainer(other, store, tmp_path / "run", OPTIM, DATA)
    # A state that was written before they were in it is taken as it is.
    path = tmp_path / "run" / "state.pt"
    state = torch.load(path, weights_only=True)
    del state["draft_tokens"]
    torch.save(state, path)
    Trainer(other, store, tmp_path / "run", OPTIM, DATA)


def test_a_run_goes_on_from_the_drafter_it_began_with_only(store, tmp_path: Path):
    def begin(folder: str, init: str | None) -> Trainer:
        (tmp_path / folder).mkdir(exist_ok=True)
        drafter = small_drafter(pruned())
        return Trainer(drafter, store, tmp_path / folder, OPTIM, DATA, init=init)

    begin("given", "abc").save()
    assert begin("given", "abc").init == "abc"
    again = begin("given", None)
    again.save()
    assert begin("given", None).init == "abc"
    begin("new", None).save()
    for folder in ("given", "new"):
        with pytest.raises(TrainError, match="did not begin with the drafter given"):
            begin(folder, "def")


def test_a_full_disk_keeps_the_state_before(store, tmp_path: Path, monkeypatch):
    trainer = make(store, tmp_path / "run")
    trainer.save()
    before = (tmp_path / "run" / "state.pt").read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agentspark.train.state.torch.save", full)
    with pytest.raises(TrainError, match="free some disk"):
        trainer.save()
    assert (tmp_path / "run" / "state.pt").read_bytes() == before
    assert not list((tmp_path / "run").glob("*.writing"))


def test_a_disk_that_fills_within_the_state_keeps_the_state_before(store, tmp_path: Path):
    trainer = make(store, tmp_path / "run")
    trainer.save()
    state = tmp_path / "run" / "state.pt"
    before = state.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A part of it can still be written.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(TrainError, match=r"training state cannot be written .* free some disk"):
            trainer.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert state.read_bytes() == before
    assert not list((tmp_path / "run").glob("*.writing"))


def test_a_kill_within_the_state_leaves_no_part_of_it(store, tmp_path: Path, monkeypatch):
    trainer = make(store, tmp_path / "run")

    def kill(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("agentspark.train.state.torch.save", kill)
    with pytest.raises(KeyboardInterrupt):
        trainer.save()
    assert not list((tmp_path / "run").glob("*.writing"))


def test_a_full_disk_keeps_the_drafter_before(store, tmp_path: Path, monkeypatch):
    trainer = make(store, tmp_path / "run")
    trainer.save()

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agentspark.dspark.checkpoint.save_file", full)
    with pytest.raises(TrainError, match="free some disk"):
        trainer.save()
    load_drafter(tmp_path / "run" / "drafter")


def test_minutes_end_a_run_and_the_rate_follows_them(store, tmp_path: Path):
    trainer = make(store, tmp_path / "run", steps=1_000_000, minutes=1.0)
    early = trainer.learning_rate()
    trainer.elapsed_s = 30.0
    assert trainer.progress == 0.5
    assert early < trainer.learning_rate() < OPTIM.lr
    trainer.elapsed_s = 61.0
    trainer.run()
    assert trainer.cursor.step == 0


def test_bfloat16_models_keep_float32_weights(store, tmp_path: Path):
    trainer = make(store, tmp_path / "run")
    half = Trainer(
        small_drafter(pruned()).to(torch.bfloat16), store, tmp_path / "half", OPTIM, DATA
    )
    for one, other in zip(half.optimizer.master, trainer.optimizer.master, strict=True):
        assert one.dtype == torch.float32
        assert one.shape == other.shape
    half.run()
    for master, param in zip(half.optimizer.master, half.optimizer.params, strict=True):
        assert torch.equal(master.bfloat16(), param)


def test_a_step_has_the_responses_of_all_ranks(store, tmp_path: Path):
    trainer = Trainer(small_drafter(pruned()), store, tmp_path, OPTIM, DATA, ranks=Ranks(1, 2))
    assert trainer.batch == 2 * OPTIM.sequences_per_step


def test_nothing_to_train_on_is_said(store, tmp_path: Path):
    store.entries = []
    with pytest.raises(TrainError, match="no response of two tokens or more"):
        make(store, tmp_path / "run").run()
