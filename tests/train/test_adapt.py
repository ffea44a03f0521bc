"""A drafter learns an agent's own traffic, and is replaced only by one that beats it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from agentspark.config import EngineConfig
from agentspark.engine.engine import Engine
from agentspark.engine.params import Labels
from agentspark.errors import (
    ConfigError,
    DataError,
    DrafterMismatchError,
    NotBetterError,
    TrainError,
)
from agentspark.sampling.params import SamplingParams
from agentspark.train import adapt as adapt_module
from agentspark.train.adapt import AdaptConfig, adapt_drafter
from agentspark.train.config import DataConfig, DrafterShape, OptimConfig, TrainConfig
from agentspark.train.lock import lock_run
from agentspark.train.progress import silent_stage
from agentspark.train.traces import read_trace_steps

STEPS = 12
PROMPT = (1, *range(40, 60))


@pytest.fixture(scope="module")
def traces(tiny_target_dir: Path, cost_cache: Path, tmp_path_factory: pytest.TempPathFactory):
    """Twelve steps of an agent whose prompts extend one another, as an agent's do."""
    trace = tmp_path_factory.mktemp("traces") / "agent.jsonl"
    config = EngineConfig(kv_tokens=2048, cache_dir=cost_cache)
    sampling, tokens = SamplingParams(max_tokens=24, ignore_eos=True), list(PROMPT)
    with Engine.load(
        tiny_target_dir, drafter=None, config=config, trace=trace, trace_tokens=True
    ) as engine:
        for step in range(STEPS):
            done = engine.generate(tokens, sampling, labels=Labels(run="agent", step=step))
            tokens += done.token_ids[:1]
    return trace


def config(target: Path, init: Path | None, out: Path, **optim: float) -> TrainConfig:
    settings = {
        "sequences_per_step": 2, "anchors_per_sequence": 16, "lr": 5e-3, "log_every": 5,
        **optim,
    }  # fmt: skip
    return TrainConfig(
        target=target, prompts=(), out=out, init=init, optim=OptimConfig(**settings),
        data=DataConfig(max_tokens=12),
    )  # fmt: skip


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_drafter_that_wins_takes_the_place(
    tiny_target_dir: Path, tiny_drafter_dir: Path, traces: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "drafter"
    shutil.copytree(tiny_drafter_dir, folder)
    (folder / "calibration.json").write_text('{"schema": 1, "temperatures": [1, 1, 1, 1, 1]}')
    (folder / "calibration-report.json").write_text("{}")
    before = files(folder)
    settings = AdaptConfig(traces=(traces,), epochs=12)
    done = adapt_drafter(
        config(tiny_target_dir, folder, folder), settings, silent_stage, command="train"
    )
    assert done.judgement.after > done.judgement.before + 0.2
    assert done.judgement.greedy
    assert any("Nothing was replayed" in warning for warning in done.warnings)
    assert any("no longer calibrated" in warning for warning in done.warnings)
    after = files(folder)
    assert after["config.json"] == before["config.json"]
    assert after["model.safetensors"] != before["model.safetensors"]
    assert not any(name.startswith("calibration") for name in after)
    assert "accepted length on" in after["README.md"].decode()
    # The engine takes it, and its real rounds are longer on a prompt of the agent's.
    sampling = SamplingParams(max_tokens=24, ignore_eos=True)
    lengths = []
    for drafter in (tiny_drafter_dir, folder):
        with Engine.load(tiny_target_dir, drafter=drafter) as engine:
            lengths.append(engine.generate(PROMPT, sampling).counts.accepted_length or 0.0)
    assert lengths[1] > lengths[0]


def test_a_full_disk_leaves_the_drafter_and_its_calibration(
    tiny_target_dir: Path, tiny_drafter_dir: Path, traces: Path, tmp_path: Path, monkeypatch
) -> None:
    folder = tmp_path / "drafter"
    shutil.copytree(tiny_drafter_dir, folder)
    (folder / "calibration.json").write_text('{"schema": 1, "temperatures": [1, 1, 1, 1, 1]}')
    before = files(folder)

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agentspark.train.release.shutil.copyfile", full)
    # With an average of the weights: that is what is judged, and what is written.
    asked = config(tiny_target_dir, folder, folder, ema=0.9)
    settings = AdaptConfig(traces=(traces,), epochs=8)
    with pytest.raises(TrainError, match="free some disk"):
        adapt_drafter(asked, settings, silent_stage)
    assert files(folder) == before
    monkeypatch.undo()
    adapt_drafter(asked, settings, silent_stage)
    (written,) = (folder / "work").glob("adapt-*/drafter")
    after = files(folder)
    assert after["model.safetensors"] == files(written)["model.safetensors"]
    assert "calibration.json" not in after


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ((None, {"block_size": 9}), "block_size 5, not 9"),
        (("eagle3", {}), "family dspark, not eagle3"),
    ],
)
def test_an_adapted_drafter_stays_what_it_is(
    asked, words, tiny_target_dir: Path, tiny_drafter_dir: Path, traces: Path, tmp_path: Path
) -> None:
    family, more = asked
    other = replace(
        config(tiny_target_dir, tiny_drafter_dir, tmp_path / "out"),
        shape=DrafterShape.of(family, **more),
    )
    with pytest.raises(TrainError, match=words):
        adapt_drafter(other, AdaptConfig(traces=(traces,)), silent_stage)
    assert not (tmp_path / "out").exists()


def test_a_drafter_that_does_not_win_replaces_nothing(
    tiny_target_dir: Path, tiny_drafter_dir: Path, traces: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(tiny_drafter_dir, out)
    before = files(out)
    settings = AdaptConfig(traces=(traces,), epochs=None)
    # So gentle that no rounded weight moves: exactly as good is not better.
    still = config(tiny_target_dir, out, out, steps=2, lr=1e-12)
    with pytest.raises(NotBetterError, match=r"not better.*Nothing was replaced"):
        adapt_drafter(still, settings, silent_stage)
    assert files(out) == before


def test_replay_keeps_old_data_and_a_kill_loses_nothing(
    tiny_target_dir: Path, tiny_drafter_dir: Path, traces: Path, tmp_path: Path, monkeypatch
) -> None:
    replay = tmp_path / "responses.jsonl"
    lines = [
        {"id": f"old{n}", "kind": "chat", "prompt_token_ids": [1, 5, n + 3], "token_ids": [9] * 12}
        for n in range(24)
    ]
    # Answers to what is measured on are not trained on, whoever gave them.
    steps = read_trace_steps([traces], "", 512)
    held = next(r for r in steps.responses if r.id in steps.held_out)
    again = {**lines[0], "id": "again", "prompt_token_ids": held.prompt_token_ids}
    replay.write_text("".join(json.dumps(x) + "\n" for x in [*lines, again]) + "broken\n")
    settings = AdaptConfig(traces=(traces,), replay=(replay,), epochs=1)
    straight = config(tiny_target_dir, tiny_drafter_dir, tmp_path / "straight")
    prompts = tmp_path / "prompts.jsonl"
    more = ({"id": f"p{n}", "prompt_token_ids": [1, 7, 8, n + 9]} for n in range(4))
    prompts.write_text("".join(json.dumps(line) + "\n" for line in more))
    straight = replace(straight, prompts=(prompts,))
    # Responses to other prompts, of a training in the same folder, are not replayed.
    (straight.out / "work").mkdir(parents=True)
    others = (json.dumps({**line, "id": f"other{n}"}) + "\n" for n, line in enumerate(lines))
    (straight.out / "work" / "responses.jsonl").write_text("".join(others))
    done = adapt_drafter(straight, settings, silent_stage)
    assert done.replayed == 24 + 4
    assert done.judgement.replayed_adapted is not None
    assert done.judgement.replayed_initial is not None
    assert done.judgement.replayed_adapted.sampled > done.judgement.replayed_initial.sampled
    for said in ("1 lines of responses.jsonl", "1 responses are not replayed: they answer"):
        assert any(said in warning for warning in done.warnings), said

    broken = replace(straight, out=tmp_path / "broken")
    real = adapt_module.Trainer.measure

    def kill(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(adapt_module.Trainer, "measure", kill)
    with pytest.raises(KeyboardInterrupt):
        adapt_drafter(broken, settings, silent_stage)
    assert not files(tmp_path / "broken")
    monkeypatch.setattr(adapt_module.Trainer, "measure", real)
    adapt_drafter(broken, settings, silent_stage)
    name = "model.safetensors"
    assert files(tmp_path / "broken")[name] == files(tmp_path / "straight")[name]
    # Another start throws the work of other settings away.
    again = AdaptConfig(traces=(traces,), epochs=2)
    adapt_drafter(broken, again, silent_stage)
    assert len(list((tmp_path / "broken" / "work").glob("adapt-*"))) == 1


def test_what_does_not_fit_on_the_disk_is_not_counted_as_replayed(
    tiny_target_dir: Path, tiny_drafter_dir: Path, traces: Path, tmp_path: Path, monkeypatch
) -> None:
    replay = tmp_path / "responses.jsonl"
    line = {"kind": "chat", "prompt_token_ids": [1, 5], "token_ids": [9] * 12}
    replay.write_text("".join(json.dumps({**line, "id": f"old{n}"}) + "\n" for n in range(6)))
    real = adapt_module.open_source

    def small(config, target, model, responses, *more):
        return real(config, target, model, responses[: STEPS + 2], *more)

    monkeypatch.setattr(adapt_module, "open_source", small)
    asked = config(tiny_target_dir, tiny_drafter_dir, tmp_path / "out")
    settings = AdaptConfig(traces=(traces,), replay=(replay,), epochs=1)
    done = adapt_drafter(asked, settings, silent_stage)
    assert (done.steps, done.replayed) == (STEPS, 2)
    note = "4 responses are not replayed: their features do not fit into max_disk."
    assert any(note in warning for warning in done.warnings)


def test_a_folder_where_a_run_is_at_work_is_not_adapted(
    tiny_target_dir: Path, tiny_drafter_dir: Path, traces: Path, tmp_path: Path
) -> None:
    asked = config(tiny_target_dir, tiny_drafter_dir, tmp_path)
    with lock_run(tmp_path / "work"), pytest.raises(TrainError, match="another run is at work"):
        adapt_drafter(asked, AdaptConfig(traces=(traces,)), silent_stage)
    assert [path.name for path in (tmp_path / "work").iterdir()] == [".lock"]


def test_what_cannot_be_is_told_before_any_work(
    tiny_target_dir: Path, tiny_qwen3_dir: Path, tiny_drafter_dir: Path, traces: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    settings, out = AdaptConfig(traces=(traces,)), tmp_path / "out"
    with pytest.raises(DrafterMismatchError):
        adapt_drafter(config(tiny_qwen3_dir, tiny_drafter_dir, out), settings, silent_stage)
    asked = config(tiny_target_dir, tiny_drafter_dir, out, prompt_anchors=4)
    with pytest.raises(ConfigError, match="prompts contain the outputs that are measured on"):
        adapt_drafter(asked, settings, silent_stage)
    with pytest.raises(ConfigError, match="give init"):
        adapt_drafter(config(tiny_target_dir, None, out), settings, silent_stage)
    with pytest.raises(ConfigError, match="replay_share"):
        AdaptConfig(traces=(traces,), replay_share=1.0)
    none = AdaptConfig(traces=(traces,), replay=(traces,))
    with pytest.raises(DataError, match="holds no responses"):
        adapt_drafter(config(tiny_target_dir, tiny_drafter_dir, out), none, silent_stage)
    assert not out.exists()


def test_outputs_of_another_model_are_refused(
    tiny_target_dir: Path, tiny_drafter_dir: Path, traces: Path, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign.jsonl"
    lines = [json.loads(line) for line in traces.read_text().splitlines()]
    for line in lines:
        line["output_token_ids"] = [(token + 7) % 500 for token in line["output_token_ids"]]
    foreign.write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = AdaptConfig(traces=(foreign,))
    with pytest.raises(DataError, match="another model wrote them"):
        adapt_drafter(
            config(tiny_target_dir, tiny_drafter_dir, tmp_path / "out"), settings, silent_stage
        )
    assert not (tmp_path / "out" / "model.safetensors").exists()
