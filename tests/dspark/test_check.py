"""A drafter is taken for its own target only."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from agentspark.dspark.check import check_drafter, target_fingerprint
from agentspark.errors import DrafterMismatchError
from tests.dspark.small import small_config


@dataclass(frozen=True)
class Shape:
    num_layers: int = 4
    hidden_size: int = 32
    vocab_size: int = 60


def test_the_right_target_passes():
    weight = torch.randn(60, 32)
    name = target_fingerprint(weight, weight)
    check_drafter(small_config(target_fingerprint=name), Shape(), name)
    check_drafter(small_config(), Shape(), name)


@pytest.mark.parametrize(
    ("field", "words"),
    [("hidden_size", "hidden size"), ("vocab_size", "vocabulary"), ("num_layers", "layers")],
)
def test_other_sizes_are_named(field, words):
    other = replace(Shape(), **{field: 8})
    with pytest.raises(DrafterMismatchError, match=words):
        check_drafter(small_config(), other, "")
    with pytest.raises(DrafterMismatchError, match=r"this target has 8: take it\.$"):
        check_drafter(small_config(), other, "", "take it")


def test_other_weights_of_the_same_shape_are_refused():
    mine, other = torch.randn(60, 32), torch.randn(60, 32)
    config = small_config(target_fingerprint=target_fingerprint(mine, mine))
    with pytest.raises(DrafterMismatchError, match="other weights"):
        check_drafter(config, Shape(), target_fingerprint(mine, other))


def test_the_fingerprint_survives_a_change_of_dtype():
    weight = torch.randn(600, 32).bfloat16()
    name = target_fingerprint(weight, weight)
    assert target_fingerprint(weight.float(), weight.float()) == name
    assert target_fingerprint(weight[:, :16], weight) != name
