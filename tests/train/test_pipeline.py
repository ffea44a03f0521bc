"""From prompts to a drafter with its card, on a tiny target, through the engine."""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from agentspark.config import EngineConfig
from agentspark.dspark.config import read_config
from agentspark.engine.engine import Engine
from agentspark.engine.params import RequestOptions
from agentspark.engine.precision import DTYPES, dtype_of
from agentspark.errors import (
    ConfigError,
    DataError,
    DrafterFormatError,
    DrafterMismatchError,
    TrainError,
)
from agentspark.sampling.params import SamplingParams
from agentspark.train.config import DataConfig, DrafterShape, OptimConfig, TrainConfig
from agentspark.train.lock import lock_run
from agentspark.train.pipeline import train_drafter
from agentspark.train.progress import silent_stage
from agentspark.train.store import FeatureStore

DATA = DataConfig(max_tokens=12, held_out_every=4)


@pytest.fixture(scope="module")
def prompt_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.jsonl"
    lines = [
        {"id": f"p{i}", "kind": "chat", "messages": [{"role": "user", "content": f"say {i}"}]}
        for i in range(10)
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\nbroken\n")
    return path


def config(target: Path, prompts: Path, out: Path) -> TrainConfig:
    return TrainConfig(
        target=target,
        prompts=(prompts,),
        out=out,
        shape=DrafterShape(layers=1, block_size=3, markov_rank=8, draft_vocab_size=128),
        optim=OptimConfig(steps=6, sequences_per_step=2, anchors_per_sequence=4, log_every=2),
        data=DATA,
    )


@pytest.fixture(scope="module")
def trained(tiny_target_dir: Path, prompt_file: Path, tmp_path_factory) -> TrainConfig:
    """A finished run, which nobody changes."""
    asked = config(tiny_target_dir, prompt_file, tmp_path_factory.mktemp("trained"))
    train_drafter(asked, silent_stage)
    return asked


@pytest.fixture
def first(trained: TrainConfig, tmp_path: Path) -> TrainConfig:
    """The same run in a folder of the test's own, ``first``."""
    shutil.copytree(trained.out, tmp_path / "first")
    return replace(trained, out=tmp_path / "first")


@pytest.mark.usefixtures("drawn")
def test_prompts_become_a_drafter_that_the_engine_takes(
    tiny_target_dir: Path, prompt_file: Path, tmp_path: Path
):
    shown: list[str] = []

    @contextmanager
    def stage(title: str):
        shown.append(title)
        yield lambda done, total, numbers: None

    out = tmp_path / "drafter"
    outcome = train_drafter(
        config(tiny_target_dir, prompt_file, out), stage, command="train", data_licence="CC0"
    )
    assert shown == ["responses", "features", "training"]
    assert outcome.responses == 10
    assert any("line 11" in warning for warning in outcome.warnings)
    # What engines compute in here is what is learned from.
    features = FeatureStore(out / "work" / "features").example(0)
    assert str(features.hidden.dtype) == str(DTYPES[dtype_of(EngineConfig())])
    assert (out / "work" / "run.png").read_bytes()[:4] == b"\x89PNG"
    assert read_config(out).num_anchors == 4
    card = (out / "README.md").read_text()
    assert all(word in card for word in ("CC0", "`train`", "6 steps", "prompts.jsonl", "line 11"))
    with Engine.load(tiny_target_dir, drafter=out) as engine:
        done = engine.generate([1, 5, 6], SamplingParams(max_tokens=8, ignore_eos=True))
        assert done.counts.draft_tokens > 0

    # Started again it has nothing to do; with more steps it goes on with the same responses.
    answers = (out / "work" / "responses.jsonl").read_bytes()
    again = config(tiny_target_dir, prompt_file, out)
    longer = replace(again, optim=replace(again.optim, steps=8))
    train_drafter(longer, silent_stage)
    assert (out / "work" / "responses.jsonl").read_bytes() == answers
    log = [json.loads(x) for x in (out / "work" / "run.jsonl").read_text().splitlines()]
    assert [e["step"] for e in log if e["event"] == "step"] == [2, 4, 6, 8]


def test_online_training_stores_no_features(
    tiny_target_dir: Path, prompt_file: Path, tmp_path: Path
):
    base = config(tiny_target_dir, prompt_file, tmp_path / "out")
    train_drafter(replace(base, data=replace(DATA, online=True)), silent_stage)
    assert not (tmp_path / "out" / "work" / "features").exists()
    assert (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize("name", ["tiny_gemma4_dir", "tiny_gemma4_small_dir", "tiny_target_dir"])
def test_gemma4_drafters_are_trained_and_drafted_with(
    name: str, request: pytest.FixtureRequest, prompt_file: Path, tmp_path: Path
):
    """For both kinds of Gemma 4, and its layers for a Llama."""
    folder = request.getfixturevalue(name)
    asked = config(folder, prompt_file, tmp_path)
    shape = replace(asked.shape, backbone="gemma4", draft_vocab_size=None)
    train_drafter(replace(asked, shape=shape), silent_stage)
    assert read_config(tmp_path).backbone == "gemma4"
    greedy = SamplingParams(max_tokens=24, ignore_eos=True)
    with Engine.load(folder, drafter=tmp_path) as engine:
        plain = engine.generate([1, 5, 6], greedy, options=RequestOptions(speculation="off"))
        options = RequestOptions(speculation="dspark", verify="full")
        sped = engine.generate([1, 5, 6], greedy, options=options)
    assert sped.token_ids == plain.token_ids
    assert sped.counts.verified_tokens > 0
    other = replace(shape, given={"backbone": "qwen3"})
    with pytest.raises(TrainError, match="backbone gemma4, not qwen3"):
        train_drafter(replace(asked, shape=other), silent_stage)


def test_prompts_are_learned_from_where_their_predictions_are_known(
    first: TrainConfig, tmp_path: Path
):
    both = replace(first, optim=replace(first.optim, prompt_anchors=5))

    def anchors(out: Path) -> int:
        return torch.load(out / "work" / "state.pt", weights_only=True)["anchors"]

    more = train_drafter(replace(both, out=tmp_path / "more"), silent_stage)
    assert not any("without their prompts" in warning for warning in more.warnings)
    # Two sequences a step, six steps; every prompt has five places to learn from.
    assert anchors(more.drafter) == anchors(first.out) + 2 * 6 * 5
    old = train_drafter(replace(both, out=tmp_path / "old", data_from=first.out), silent_stage)
    assert any("10 responses were stored without" in warning for warning in old.warnings)
    assert anchors(old.drafter) == anchors(first.out)


def test_families_learn_from_the_same_responses_and_features(first: TrainConfig, tmp_path: Path):
    work = tmp_path / "first" / "work"
    given = {path: path.read_bytes() for path in work.rglob("*.[js][sa]*") if path.is_file()}
    assert any(path.name == "responses.jsonl" for path in given)
    assert any(path.suffix == ".safetensors" for path in given)
    shape = DrafterShape.of("eagle3", block_size=3, draft_vocab_size=128)
    out = tmp_path / "other"
    second = replace(first, out=out, data_from=first.out, shape=shape)
    outcome = train_drafter(second, silent_stage)
    assert outcome.responses == 10
    assert sorted(path.name for path in (out / "work").iterdir()) == [
        ".lock", "drafter", "run.jsonl", "run.png", "run.svg", "state.pt",
    ]  # fmt: skip
    assert {path: path.read_bytes() for path in given} == given
    assert (out / "README.md").read_text().startswith("# Eagle3 drafter")
    with pytest.raises(TrainError, match="of family eagle3, not dspark"):
        train_drafter(replace(second, shape=first.shape), silent_stage)


def written_prompts(path: Path, *contents: str) -> Path:
    lines = (
        {"id": f"{path.stem}{n}", "messages": [{"role": "user", "content": text}]}
        for n, text in enumerate(contents)
    )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_only_the_given_prompts_are_trained_on(
    first: TrainConfig, tiny_qwen3_dir: Path, tmp_path: Path
):
    other = written_prompts(tmp_path / "q.jsonl", *(f"tell {n}" for n in range(12)), "x" * 2000)
    second = replace(first, prompts=(other,), data_from=first.out, out=tmp_path / "second")
    outcome = train_drafter(second, silent_stage)
    assert outcome.responses == 12
    note = "1 prompt was left out, longer than 1024 tokens ('q12' (q.jsonl line 13))."
    assert note in outcome.warnings
    card = (second.out / "README.md").read_text()
    assert "Prompts: q.jsonl" in card and "Responses: 12 by" in card and note in card
    # A run that was trained on other prompts is not gone on with.
    with pytest.raises(TrainError, match="on other sequences"):
        train_drafter(replace(first, prompts=(other,)), silent_stage)
    few = replace(second, out=tmp_path / "few", data=replace(DATA, max_responses=7))
    assert train_drafter(few, silent_stage).responses == 7
    used = replace(few, prompts=(written_prompts(tmp_path / "p.jsonl", "other words"),))
    with pytest.raises(DataError, match="another prompt with the id of 'p0'"):
        train_drafter(used, silent_stage)
    foreign = replace(few, target=tiny_qwen3_dir, out=tmp_path / "foreign")
    with pytest.raises(DataError, match="responses of another target"):
        train_drafter(foreign, silent_stage)


def test_data_of_no_run_are_told_and_nothing_is_answered(prompt_file: Path, tmp_path: Path):
    asked = replace(
        config(tmp_path / "no-target", prompt_file, tmp_path / "out"), data_from=tmp_path / "typo"
    )
    with pytest.raises(ConfigError, match=r"data_from=.*typo is no folder of a training"):
        train_drafter(asked, silent_stage)
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_folder_where_a_run_is_at_work_is_left_alone(
    tiny_target_dir: Path, prompt_file: Path, tmp_path: Path
):
    asked = config(tiny_target_dir, prompt_file, tmp_path)
    with lock_run(tmp_path / "work"), pytest.raises(TrainError, match="another run is at work"):
        train_drafter(asked, silent_stage)
    assert [path.name for path in (tmp_path / "work").iterdir()] == [".lock"]


@pytest.mark.parametrize(
    ("family", "more", "words"),
    [
        ("eagle3", {"layers": 2}, "1 layer"),
        ("mtp", {"block_size": 3}, "1 token"),
        ("dflash", {"markov_rank": 8}, "markov_rank=8"),
        ("dflash", {"markov_head_type": "rnn"}, "no sequential head"),
        ("dspark", {"sample_from_anchor": False}, "dflash's layout"),
        ("dspark", {"markov_rank": 0}, "markov_rank=0"),
    ],
)
def test_what_a_family_cannot_have_is_named(family, more, words):
    with pytest.raises(ConfigError, match=words):
        DrafterShape.of(family, **more)


def test_a_seed_of_more_bits_than_a_generator_takes_is_told_at_once():
    with pytest.raises(ConfigError, match="seed=9223372036854775808 cannot be used"):
        OptimConfig(seed=1 << 63)


def test_a_drafter_to_start_from_has_what_was_given(first: TrainConfig, tmp_path: Path):
    again = replace(first, init=first.out)
    for number, (given, words) in enumerate(
        (
            ({"layers": 2, "markov_head_type": "rnn"}, "layers 1, not 2; .* vanilla, not rnn"),
            ({"draft_vocab_size": 64}, "draft_vocab_size 128, not 64"),
            ({"draft_vocab_size": 0}, "draft_vocab_size 128, not 512"),
        )
    ):
        shape = DrafterShape.of("dspark", **given)
        with pytest.raises(TrainError, match=words):
            train_drafter(replace(again, out=tmp_path / str(number), shape=shape), silent_stage)
    fits = DrafterShape.of("dspark", block_size=3, layers=1, draft_vocab_size=128)
    outcome = train_drafter(replace(again, out=tmp_path / "fits", shape=fits), silent_stage)
    assert read_config(outcome.drafter) == read_config(first.out)


def test_a_drafter_to_start_from_may_grow(first: TrainConfig, tmp_path: Path):
    more = {"block_size": 5, "draft_vocab_size": 160}
    larger = replace(
        first, init=first.out, out=tmp_path / "larger", shape=DrafterShape.of(None, **more)
    )
    outcome = train_drafter(larger, silent_stage)
    assert read_config(outcome.drafter) == replace(read_config(first.out), **more)
    assert len(outcome.tau.conditional) == 5
    # The same command goes on from what it has grown to.
    (outcome.drafter / "work" / "run.jsonl").unlink()
    train_drafter(larger, silent_stage)
    assert "resumed" in (outcome.drafter / "work" / "run.jsonl").read_text()


def test_a_calibration_goes_when_the_weights_change(first: TrainConfig):
    out = first.out
    names = ("calibration.json", "calibration-report.json", "calibration.png", "calibration.svg")
    for name in names:
        (out / name).write_text("of these weights")
    same = train_drafter(first, silent_stage)
    assert all((out / name).exists() for name in names)
    assert not any("calibrated" in warning for warning in same.warnings)
    longer = replace(first, optim=replace(first.optim, steps=8))
    other = train_drafter(longer, silent_stage)
    assert not any((out / name).exists() for name in names)
    assert any("no longer calibrated" in warning for warning in other.warnings)
    assert "calibrated" not in (out / "README.md").read_text()


def test_a_run_goes_on_in_the_folder_it_started_from(first: TrainConfig, tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copyfile(tmp_path / "first" / name, out / name)
    # Into blocks of another size, so that config and weights are of one drafter or the other.
    shape = DrafterShape.of(None, block_size=5)
    asked = replace(first, init=out, out=out, shape=shape)
    train_drafter(asked, silent_stage)
    weights = (out / "model.safetensors").read_bytes()
    # What a kill at the end, of a version that copied in place, left of the drafter.
    (out / "model.safetensors").write_bytes(weights[:100])
    train_drafter(asked, silent_stage)
    assert (out / "model.safetensors").read_bytes() == weights
    longer = replace(asked, optim=replace(asked.optim, steps=8))
    train_drafter(longer, silent_stage)
    assert (out / "model.safetensors").read_bytes() != weights


def test_a_drafter_that_a_run_saved_and_cannot_read_is_not_needed(first: TrainConfig):
    weights = first.out / "model.safetensors"
    before, saved = weights.read_bytes(), first.out / "work" / "drafter"
    (saved / "model.safetensors").write_bytes(before[:100])
    with pytest.raises(TrainError, match=rf"Delete {saved}: the run goes on from its saved state"):
        train_drafter(first, silent_stage)
    shutil.rmtree(saved)
    train_drafter(first, silent_stage)
    assert weights.read_bytes() == before


def test_a_broken_drafter_to_start_from_is_told_before_anything_is_computed(
    first: TrainConfig, tmp_path: Path
):
    weights = first.out / "model.safetensors"
    tensors = load_file(weights)
    tensors["norm.weight"][3] = torch.nan
    save_file(tensors, weights)
    second = replace(first, out=tmp_path / "second", init=first.out)
    with pytest.raises(DrafterFormatError, match=r"not finite \(backbone.norm.weight\)"):
        train_drafter(second, silent_stage)
    assert not second.out.exists()


def test_a_disk_that_has_room_for_nothing_is_told_as_that(first: TrainConfig):
    shutil.rmtree(first.out / "work" / "features")
    with pytest.raises(TrainError, match="no response fit into max_disk"):
        train_drafter(replace(first, data=replace(DATA, max_disk_bytes=10)), silent_stage)


def test_another_drafter_to_start_from_is_no_way_to_go_on(first: TrainConfig, tmp_path: Path):
    second = replace(first, out=tmp_path / "second", init=first.out)
    train_drafter(second, silent_stage)
    # Both go on as they were begun, and as they are without a drafter to start from.
    train_drafter(second, silent_stage)
    train_drafter(replace(second, init=None), silent_stage)
    for out, init in ((second.out, second.out / "work" / "drafter"), (first.out, second.out)):
        before = (out / "model.safetensors").read_bytes()
        with pytest.raises(TrainError, match="did not begin with the drafter given"):
            train_drafter(replace(first, out=out, init=init), silent_stage)
        assert (out / "model.safetensors").read_bytes() == before
    # One that is not there is told before what is missing is answered.
    responses = second.out / "work" / "responses.jsonl"
    responses.write_text("")
    with pytest.raises(DrafterFormatError, match=r"no model\.safetensors"):
        train_drafter(replace(second, init=tmp_path / "absent"), silent_stage)
    assert responses.read_text() == ""


def test_a_drafter_of_another_target_is_no_start(
    tiny_target_dir: Path, tiny_qwen3_dir: Path, prompt_file: Path, tmp_path: Path
):
    first = config(tiny_qwen3_dir, prompt_file, tmp_path / "first")
    train_drafter(first, silent_stage)
    second = config(tiny_target_dir, prompt_file, tmp_path / "second")
    with pytest.raises(DrafterMismatchError):
        train_drafter(replace(second, init=tmp_path / "first"), silent_stage)
    assert not (tmp_path / "second").exists()


def test_a_missing_prompt_file_is_told_before_anything_is_loaded(tmp_path: Path):
    wrong = config(tmp_path / "no-target", tmp_path / "absent.jsonl", tmp_path / "out")
    with pytest.raises(DataError, match="absent"):
        train_drafter(wrong, silent_stage)
