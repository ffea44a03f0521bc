"""What is kept of a run: names, files, tables, and whether a bar was met."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from agentspark.errors import ConfigError
from agentspark.trace.environment import Environment
from benchmarks import command
from benchmarks.bench import Settings
from benchmarks.command import measure
from benchmarks.http import command as http_command
from benchmarks.markdown import shown, table
from benchmarks.measurement import Measurement, Sense
from benchmarks.results import Results, Setup, current_commit, hardware
from benchmarks.suite import MEASUREMENTS, chosen


def found(value: float | None, bar: float | None, sense: Sense = "at least") -> Measurement:
    return Measurement(
        name="one", title="a | b", unit="x", value=value, bar=bar, sense=sense,
        figures={"ratio": value, "inner": {"count": 3}, "list": [1, 2]},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "bar", "sense", "met"),
    [
        (1.5, 1.5, "at least", True),
        (1.49, 1.5, "at least", False),
        (1.2, 1.2, "at most", True),
        (1.21, 1.2, "at most", False),
        (1.004, 1.0, "equal", True),
        (0.99, 1.0, "equal", False),
        (None, 1.0, "equal", None),
        (3.0, None, "at least", None),
    ],
)
def test_met(value: float | None, bar: float | None, sense: Sense, met: bool | None) -> None:
    assert found(value, bar, sense).met is met
    assert json.loads(found(value, bar, sense).model_dump_json())["met"] is met


def test_values_in_their_units() -> None:
    assert shown(1.456, "x") == "1.46x"
    assert shown(0.0153, "share") == "1.53%"
    assert shown(0.9999, "share") == "99.99%"
    assert shown(81.26, "tokens/s") == "81.3 tokens/s"
    assert shown(None, "x") == "unknown"


def test_a_table_row_keeps_its_columns() -> None:
    rows = table([found(1.0, 2.0), found(None, 1.0, "equal")])
    assert rows[2] == "| one: a \\| b | 1.00x | at least 2.00x | **no** |  |"
    assert rows[3] == "| one: a \\| b | unknown | equal |  |  |"


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        (
            {"processor": "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", "cores": 2},
            "2-cores-intel-xeon-platinum-8481c",
        ),
        ({"processor": "AMD EPYC 7B13", "cores": 8}, "8-cores-amd-epyc-7b13"),
        ({"accelerator": "NVIDIA H100 80GB HBM3", "cores": 8}, "nvidia-h100-80gb-hbm3"),
        ({}, "unknown-cores-unknown"),
    ],
)
def test_short_hardware_names(environment: dict[str, object], name: str) -> None:
    made = Environment.model_validate({"python": "3.11", "system": "Linux", **environment})
    assert hardware(made) == name


def test_an_unfinished_run_says_so(tmp_path: Path) -> None:
    results = Results(
        created_at=datetime(2025, 1, 2, tzinfo=UTC),
        commit=None,
        environment=Environment(python="3.11", system="Linux", processor="One", cores=2),
        load=None,
        setup=Setup(
            model="tiny", drafter=None, device="cpu", dtype="bfloat16", exact=True,
            prompts_file="p", prompts=1, transcripts_file="t", transcripts=1,
            repeats=1, max_tokens=8,
        ),
        measurements=[found(1.0, None)],
    )  # fmt: skip
    data, page = results.write(tmp_path)
    assert data.name == "2025-01-02-2-cores-one.json"
    assert "not finished" in page.read_text()
    assert "- inner:\n  - count: 3" in page.read_text()
    results.complete = True
    assert results.write(tmp_path, ("one",))[1].name == "2025-01-02-2-cores-one-one.md"
    assert "not finished" not in (tmp_path / "2025-01-02-2-cores-one-one.md").read_text()
    assert not list(tmp_path.glob(".*"))


def test_the_commit_says_whether_files_changed(tmp_path: Path) -> None:
    assert current_commit(tmp_path) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "-q"], check=True)
    assert current_commit(tmp_path) is None
    (tmp_path / "a").write_text("1")
    subprocess.run([*git, "add", "a"], check=True)
    subprocess.run([*git, "commit", "-qm", "a"], check=True)
    commit = current_commit(tmp_path)
    assert commit is not None
    assert not commit.changed
    (tmp_path / "a").write_text("2")
    changed = current_commit(tmp_path)
    assert changed is not None
    assert changed.changed
    assert changed.id == commit.id


def test_measurements_are_chosen_by_name() -> None:
    assert chosen(["hit", "plain"]) == ("plain", "hit")
    assert chosen([]) == tuple(MEASUREMENTS)
    with pytest.raises(ConfigError, match="no measurement 'speed'"):
        chosen(["speed"])


def test_the_command_writes_what_it_measured(settings: Settings, tmp_path: Path) -> None:
    results = measure(settings, ("shared",), tmp_path)
    assert results.complete
    (data,) = tmp_path.glob("*-shared.json")
    kept = json.loads(data.read_text())
    assert kept["setup"]["model"] == Path(settings.model).name
    assert kept["environment"]["torch"]
    assert [one["name"] for one in kept["measurements"]] == ["shared"]
    assert kept["measurements"][0]["took_ms"] > 0
    assert str(tmp_path.parent) not in data.read_text()
    assert (tmp_path / data.name.replace(".json", ".md")).is_file()


@pytest.mark.parametrize("module", [command, http_command])
def test_a_format_that_is_asked_for_is_measured(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Settings] = []
    monkeypatch.setattr(module, "measure", lambda settings, *_, **__: measured.append(settings))
    for args in ([], ["--dtype", "bfloat16"]):
        assert CliRunner().invoke(module.app, args).exit_code == 0
    assert [settings.config.dtype for settings in measured] == [None, "bfloat16"]
