"""Weights that do not fit in the free memory are refused before they are read."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from agentspark.errors import ConfigError
from agentspark.models import load_target


def test_what_does_not_fit_is_refused_with_what_would(
    tiny_target_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(free: int) -> None:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))

    weights = load_target(tiny_target_dir, dtype=torch.bfloat16).model.parameters()
    narrow = sum(weight.nbytes for weight in weights)
    leave(2 * narrow)
    load_target(tiny_target_dir, dtype=torch.float32)
    leave(2 * narrow - 1)
    with pytest.raises(ConfigError, match=r"GiB as float32.* free\. Choose dtype bfloat16"):
        load_target(tiny_target_dir, dtype=torch.float32)
    load_target(tiny_target_dir)
    leave(narrow - 1)
    with pytest.raises(ConfigError, match=r"GiB as bfloat16.* free\. Choose a smaller model"):
        load_target(tiny_target_dir)
