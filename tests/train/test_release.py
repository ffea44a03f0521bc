"""A trained drafter takes the place of another one, with nothing that was true of that alone."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from agentspark import files as files_module
from agentspark.dspark.calibration import Temperatures
from agentspark.dspark.checkpoint import load_drafter, save_drafter
from agentspark.errors import DrafterFormatError, TrainError
from agentspark.train.drafter_lock import lock_drafter
from agentspark.train.release import release_drafter
from tests.dspark.small import pruned, small_drafter

CALIBRATION = (
    "calibration.json", "calibration-report.json", "calibration.png", "calibration.svg",
)  # fmt: skip


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A calibrated drafter, with a cost table of the machine's."""
    folder = tmp_path / "out"
    save_drafter(small_drafter(pruned(), seed=1), folder)
    Temperatures((2.0,) * 4).save(folder)
    for name in (*CALIBRATION[1:], "costs.json"):
        (folder / name).write_text("of the old one")
    (folder / "README.md").write_text("# Old")
    return folder


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    folder = tmp_path / "work" / "drafter"
    save_drafter(small_drafter(pruned(block_size=5)), folder)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_another_drafter_ends_the_calibration_and_the_same_one_does_not(out: Path, trained: Path):
    assert release_drafter(trained, out, "# New") is True
    found = files(out)
    assert found == {**files(trained), "README.md": b"# New", "costs.json": b"of the old one"}
    Temperatures((2.0,) * 5).save(out)
    assert release_drafter(trained, out, "# Newer") is False
    assert Temperatures.load(out, 5) == Temperatures((2.0,) * 5)
    assert (out / "README.md").read_text() == "# Newer"


def test_the_same_drafter_of_an_earlier_version_keeps_its_calibration(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"
    monkeypatch.setattr("agentspark.dspark.checkpoint.CONFIG_ID", "not_known_then")
    save_drafter(small_drafter(pruned(block_size=5)), out)
    monkeypatch.undo()
    config = json.loads((out / "config.json").read_text())
    del config["not_known_then"]
    (out / "config.json").write_text(json.dumps(config))
    Temperatures((2.0,) * 5).save(out)
    assert (out / "model.safetensors").read_bytes() != (trained / "model.safetensors").read_bytes()
    assert release_drafter(trained, out, "# New") is False
    assert Temperatures.load(out, 5) == Temperatures((2.0,) * 5)
    assert files(out).items() >= files(trained).items()


def test_a_full_disk_leaves_the_drafter_with_its_calibration(
    out: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
):
    before = files(out)

    def full(source: Path, target: Path) -> None:
        Path(target).write_bytes(source.read_bytes()[:9])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("agentspark.train.release.shutil.copyfile", full)
    with pytest.raises(TrainError, match=r"free some disk.* Nothing was replaced.*work/drafter"):
        release_drafter(trained, out, "# New")
    assert files(out) == before


def test_a_drafter_that_was_never_calibrated_loses_nothing(tmp_path: Path, trained: Path):
    assert release_drafter(trained, tmp_path / "new", "# New") is False
    assert files(tmp_path / "new") == {**files(trained), "README.md": b"# New"}


def cut_off(monkeypatch: pytest.MonkeyPatch, trained: Path, out: Path) -> None:
    """A release that is killed between the config and the weights."""
    real = files_module.os.replace

    def replace(source: Path, target: Path) -> None:
        if Path(target).name == "model.safetensors":
            # A kill takes nothing away.
            shutil.copytree(Path(source).parent, out / ".writing-killed")
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(files_module.os, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            release_drafter(trained, out, "# New")


def test_a_config_is_not_loaded_with_weights_of_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out, trained = tmp_path / "out", tmp_path / "trained"
    save_drafter(small_drafter(pruned()), out)
    # Of the same shapes: nothing else would tell them apart.
    other = small_drafter(pruned(target_layer_ids=(0, 1)), seed=1)
    save_drafter(other, trained)
    cut_off(monkeypatch, trained, out)
    with pytest.raises(DrafterFormatError, match=r"two drafters.* Start the command again"):
        load_drafter(out)
    release_drafter(trained, out, "# New")
    assert load_drafter(out).config.target_layer_ids == (0, 1)


def test_weights_that_name_no_config_are_another_drafters_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    out, trained = tmp_path / "out", tmp_path / "trained"
    monkeypatch.setattr("agentspark.dspark.checkpoint.CONFIG_ID", "not_known_then")
    save_drafter(small_drafter(pruned()), out)
    monkeypatch.undo()
    assert load_drafter(out).config == pruned()
    save_drafter(small_drafter(pruned(target_layer_ids=(0, 1))), trained)
    cut_off(monkeypatch, trained, out)
    with pytest.raises(DrafterFormatError, match="two drafters"):
        load_drafter(out)
    release_drafter(trained, out, "# New")
    # Those that another program wrote name none either.
    save_file(load_file(out / "model.safetensors"), out / "model.safetensors")
    assert load_drafter(out).config.target_layer_ids == (0, 1)


def test_new_weights_of_the_same_config_leave_the_old_ones_or_the_new(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
):
    out = tmp_path / "out"
    save_drafter(small_drafter(pruned(block_size=5), seed=1), out)
    cut_off(monkeypatch, trained, out)
    load_drafter(out)  # the weights of before, which an adaptation in place begins with again


def test_a_config_that_was_edited_by_hand_is_what_is_read(out: Path):
    path = out / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "rms_norm_eps": 0.5}))
    assert load_drafter(out).config.rms_norm_eps == 0.5


def test_a_release_while_a_drafter_is_read_gives_one_of_the_two(
    tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
):
    from agentspark.dspark import checkpoint

    out = tmp_path / "out"
    save_drafter(small_drafter(pruned(), seed=1), out)
    real, read = checkpoint.read_raw, []

    def slow(folder: Path):
        raw = real(folder)
        if not read:
            release_drafter(trained, folder, "# New")
        read.append(raw)
        return raw

    monkeypatch.setattr(checkpoint, "read_raw", slow)
    assert load_drafter(out).config.block_size == 5
    assert len(read) == 2


def test_one_writer_at_a_time_and_the_other_one_is_named(out: Path):
    with lock_drafter(out, "agentspark calibrate"):
        with pytest.raises(
            TrainError,
            match=r"^agentspark calibrate \(process \d+ on .*\) is at work in .*out: wait",
        ):
            lock_drafter(out, "another").__enter__()
        with lock_drafter(out.parent / "other", "another"):
            pass
    assert not list(out.glob(".*"))
    with lock_drafter(out, "agentspark calibrate"):
        pass


def test_a_release_waits_for_a_calibration_and_ends_it(out: Path, trained: Path):
    shown: list[str] = []
    with ExitStack() as calibration:
        calibration.enter_context(lock_drafter(out, "agentspark calibrate"))

        @contextmanager
        def stage(title: str):
            shown.append(title)
            calibration.close()  # it has been written
            yield lambda done, total, numbers: None

        assert release_drafter(trained, out, "# New", stage) is True
    [title] = shown
    assert title.startswith("waiting: agentspark calibrate (process ")
    assert not (out / "calibration.json").exists()


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainError, match=r"file/out cannot be written to"):
        lock_drafter(tmp_path / "file" / "out", "another").__enter__()
