"""A trained drafter takes the place of another one, with nothing that was true of that alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentspark.dspark.calibration import Temperatures
from agentspark.dspark.checkpoint import save_drafter
from agentspark.errors import TrainError
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
