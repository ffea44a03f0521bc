"""Packed layers compute what plain ones do, with kernels for few row counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from agentspark.models.prepack import PackedLinear


@pytest.fixture(scope="module")
def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(24, 40).requires_grad_(False)


@pytest.mark.parametrize("shape", [(1, 24), (17, 24), (64, 24), (65, 24), (1, 70, 24), (3, 7, 24)])
def test_any_rows_are_computed_as_by_a_plain_layer(
    linear: nn.Linear, shape: tuple[int, ...]
) -> None:
    packed = PackedLinear(linear.weight, linear.bias)
    x = torch.randn(shape)
    found = packed(x)
    assert found.shape == (*shape[:-1], 40)
    torch.testing.assert_close(found, linear(x))


def test_few_row_counts_reach_the_kernels(
    linear: nn.Linear, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, seen = PackedLinear(linear.weight, linear.bias), set()
    call = packed._call

    def note(x: torch.Tensor) -> torch.Tensor:
        seen.add(x.numel() // 24)
        return call(x)

    monkeypatch.setattr(packed, "_call", note)
    for rows in range(1, 513):
        assert packed(torch.zeros(rows, 24)).shape == (rows, 40)
    assert len(seen) == 16 + 12 + 14
