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


@pytest.mark.parametrize("folder", ["tiny_target_dir", "tiny_qwen3_dir"])
def test_what_is_packed_in_float16_has_all_else_in_float32(
    folder: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An untied head is packed as the other linear layers are, a tied one is an embedding too."""
    place: Path = request.getfixturevalue(folder)
    model = load_target(place).model
    linear = [layer.weight.numel() for layer in model.modules() if type(layer) is torch.nn.Linear]
    others = sum(weight.numel() for weight in model.parameters()) - sum(linear)
    if model.config.tie_word_embeddings:
        others += linear[-1]
    need = 2 * sum(linear) + 4 * others

    def leave(free: int) -> None:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))

    leave(need)
    load_target(place, half=True)
    leave(need - 1)
    with pytest.raises(ConfigError, match=r"GiB as float16.* free\. Choose a smaller model"):
        load_target(place, half=True)
    load_target(place)
