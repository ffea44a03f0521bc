"""Weights in float16: what comes out, whose bits depend on nothing else, and where it is left."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch import nn

from agentspark.models import half
from agentspark.models.half import HalfLinear, fewest_half_rows, fits_half, half_rows, widen
from agentspark.models.modules import drop_weights
from agentspark.models.prepack import FusedProjection, PackedLinear, layout_of, prepack

has_kernels = pytest.mark.skipif(
    half_rows() is None, reason="this processor has no kernels for float16 weights"
)


@pytest.fixture
def linear() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(576, 40).requires_grad_(False)


@has_kernels
@pytest.mark.parametrize("shape", [(1, 576), (17, 576), (1, 70, 576), (3, 7, 576), (0, 576)])
def test_only_the_weights_are_rounded(linear: nn.Linear, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    found = HalfLinear(linear.weight, linear.bias)(x)
    assert found.shape == (*shape[:-1], 40)
    wanted = nn.functional.linear(x, linear.weight.half().float(), linear.bias)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    if shape[0]:
        assert not torch.equal(found, linear(x)), "the weights are not in float16"


@has_kernels
@pytest.mark.parametrize("inputs", [40, 576, 1536, 4097])
def test_bits_of_a_row_are_its_own(inputs: int) -> None:
    """Of the fewest rows and more, or multiples of ``half_rows``, and in whichever place."""
    torch.manual_seed(0)
    rows = half_rows() or 0
    layer = HalfLinear(torch.randn(70, inputs), None)
    x = torch.randn(40 * rows, inputs)
    whole = layer(x)
    for count in (*range(fewest_half_rows(), rows), *range(rows, len(x), rows)):
        assert torch.equal(layer(x[-count:]), whole[-count:])
    order = torch.randperm(len(x))
    assert torch.equal(layer(x[order]), whole[order])


@pytest.mark.parametrize("ask", [half_rows, fewest_half_rows])
def test_asking_leaves_no_workers_behind(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[], int | None]
) -> None:
    """OpenMP keeps some for a thread that has computed: beside an engine's they slow it down."""
    threads = []

    def forward(_: HalfLinear, x: torch.Tensor) -> torch.Tensor:
        threads.append(threading.current_thread())
        return x * 2

    monkeypatch.setattr(HalfLinear, "__init__", lambda self, *_: nn.Module.__init__(self))
    monkeypatch.setattr(HalfLinear, "forward", forward)
    monkeypatch.setattr(half, "half_rows", lambda: 2)
    ask.__wrapped__()
    assert threads
    assert not any(thread.is_alive() for thread in threads)


def test_rows_that_never_agree_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that sums by how many rows there are; then there is no such number."""
    monkeypatch.setattr(HalfLinear, "__init__", lambda self, *_: nn.Module.__init__(self))
    monkeypatch.setattr(HalfLinear, "forward", lambda _, x: x * (1 + len(x) * 1e-3))
    assert half_rows.__wrapped__() is None
    monkeypatch.setattr(HalfLinear, "forward", lambda _, x: x * 2)
    assert half_rows.__wrapped__() is not None


def test_few_rows_are_taken_from_where_on_all_numbers_agree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(half, "half_rows", lambda: 6)
    monkeypatch.setattr(HalfLinear, "__init__", lambda self, *_: nn.Module.__init__(self))
    for odd, fewest in (((1, 2), 3), ((3,), 4), ((5,), 6), ((), 1)):
        monkeypatch.setattr(HalfLinear, "forward", lambda _, x, odd=odd: x + (len(x) in odd))
        assert fewest_half_rows.__wrapped__() == fewest


def test_without_the_library_there_are_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    class Engines:
        supported_engines = ("qnnpack",)

    monkeypatch.setattr(torch.backends, "quantized", Engines)
    assert half_rows.__wrapped__() is None


@has_kernels
def test_a_model_is_packed_in_float16_if_its_weights_fit(linear: nn.Linear) -> None:
    model = nn.Sequential(linear)
    assert fits_half(model)
    assert layout_of(model, half=True) is HalfLinear
    assert layout_of(model, half=False) is PackedLinear
    linear.weight[0, 0] = 1e5
    assert not fits_half(model)
    assert layout_of(model, half=True) is PackedLinear
    narrow = nn.Sequential(nn.Linear(2, 2, dtype=torch.bfloat16))
    assert fits_half(narrow)
    assert layout_of(narrow, half=True) is not HalfLinear, "it computes in bfloat16"


def test_the_limit_is_not_rounded_to_the_format_of_the_weights() -> None:
    narrow = nn.Sequential(nn.Linear(2, 2, dtype=torch.bfloat16).requires_grad_(False))
    narrow[0].weight[0, 0] = 65536.0  # what float16's largest number is in bfloat16
    assert not fits_half(narrow)
    narrow[0].weight[0, 0] = float("nan")
    assert not fits_half(narrow)


def test_what_was_rounded_as_it_was_loaded_is_computed_anew() -> None:
    from transformers.models.gemma4.modeling_gemma4 import Gemma4TextScaledWordEmbedding

    embedding = Gemma4TextScaledWordEmbedding(8, 96, 0, embed_scale=96**0.5)
    wanted = embedding.embed_scale.clone()
    model = nn.Sequential(embedding).bfloat16()
    assert embedding.embed_scale.float() != wanted
    widen(model)
    assert embedding.weight.dtype == torch.float32
    assert torch.equal(embedding.embed_scale, wanted)


@has_kernels
def test_fused_projections_are_in_float16_too_and_all_are_released() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate_proj, self.up_proj = nn.Linear(8, 6), nn.Linear(8, 4)
            self.down_proj = nn.Linear(6, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            gate, up = self.gate_proj(x), self.up_proj(x)
            assert up.shape[-1] == 4
            return self.down_proj(gate)

    block = Block().requires_grad_(False)
    x = torch.randn(5, 8)
    wanted = block(x)
    prepack(block, HalfLinear)
    assert isinstance(block.gate_proj, FusedProjection)
    torch.testing.assert_close(block(x), wanted, rtol=1e-2, atol=1e-2)
    drop_weights(block)
    assert not [m for m in block.modules() if isinstance(m, HalfLinear) and m._packed is not None]
