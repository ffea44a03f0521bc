"""Names of those who take part, and which of them share an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentspark.errors import ConfigError, DrafterFormatError
from agentspark.evaluation.contestants import Contestant, by_engine, parse_contestants


def test_names_and_folders(tiny_drafter_dir: Path) -> None:
    folder = str(tiny_drafter_dir)
    found = parse_contestants(["none", folder, "suffix", f"{folder}+suffix", "auto", "shipped"])
    name = tiny_drafter_dir.name
    assert found[0] == Contestant("none", None, "off")
    assert found[1] == Contestant(name, tiny_drafter_dir, "dspark")
    assert found[3] == Contestant(f"{name}+suffix", tiny_drafter_dir, "auto")
    assert [[one.name for one in group] for group in by_engine(found)] == [
        ["none", "suffix"], [name, f"{name}+suffix"], ["auto", "shipped"],
    ]  # fmt: skip


def test_what_is_no_drafter_is_told_at_once(tmp_path: Path, tiny_drafter_dir: Path) -> None:
    with pytest.raises(DrafterFormatError, match="no drafter folder"):
        parse_contestants([str(tmp_path / "absent")])
    with pytest.raises(DrafterFormatError, match=r"config\.json"):
        parse_contestants([str(tmp_path)])
    with pytest.raises(ConfigError, match="Two drafters"):
        parse_contestants([str(tiny_drafter_dir), str(tiny_drafter_dir)])
    with pytest.raises(ConfigError, match="No drafter"):
        parse_contestants([])
