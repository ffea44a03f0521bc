"""Linear layers whose weights lie in float16 while everything is computed in float32.

A decoding step reads every weight once, so on a processor without bfloat16 instructions its time is
the time of reading them: in float16 they are half as long, and rounded eight times finer than in
bfloat16. FBGEMM's kernels (https://github.com/pytorch/FBGEMM) widen them in registers.

The kernels take rows in passes of a few. With AVX2 a pass of one or two rows sums in another order
than a fuller one, so a row's bits depend on how many rows there are; with AVX-512 all passes sum
alike. What multiple of rows avoids the difference is a property of the processor's kernels, and is
found out by asking them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch
from torch import nn

Answer = TypeVar("Answer")

# Any number of rows; FBGEMM's largest pass with AVX2 and with AVX-512; 12 is two of the first.
_STEPS = (1, 6, 14, 12)
_MOST_ROWS = 540
_LARGEST = torch.finfo(torch.float16).max


class HalfLinear(nn.Module):
    """A frozen ``nn.Linear`` (bias included) with its weights in float16; same call, same shapes.

    Takes and gives float32. The weights given may be of any format.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        bias = None if bias is None else bias.detach().float()
        wide = weight.detach().float().contiguous()
        self._packed = torch.ops.quantized.linear_prepack_fp16(wide, bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[..., in_features]`` to ``[..., out_features]``."""
        out: torch.Tensor = torch.ops.quantized.linear_dynamic_fp16(x, self._packed)
        return out

    def drop_weights(self) -> None:
        """Give back the memory of a layer that will not be called again."""
        self._packed = None


def fits_half(model: nn.Module, *others: torch.Tensor) -> bool:
    """Whether the weights of the model's linear layers, and others, are within float16's range."""
    weights = [layer.weight for layer in model.modules() if type(layer) is nn.Linear]
    return all(_within(weight) for weight in (*weights, *others))


def _within(weight: torch.Tensor) -> bool:
    least, most = torch.aminmax(weight)
    # As numbers: in bfloat16 a comparison would round the limit up.
    return least.item() >= -_LARGEST and most.item() <= _LARGEST


def widen(model: nn.Module) -> None:
    """Compute in float32 whatever the checkpoint is stored in, as if it had been loaded so."""
    model.float()
    for module in model.modules():
        # The Gemmas' embeddings are scaled by a number that was rounded as it was loaded.
        scale, exact = (getattr(module, n, None) for n in ("embed_scale", "scalar_embed_scale"))
        if isinstance(scale, torch.Tensor) and isinstance(exact, float):
            scale.fill_(exact)


@lru_cache(maxsize=1)
def half_rows() -> int | None:
    """The number of rows whose multiples give every row the same bits; ``None`` if there is none.

    Takes a fifth of a second at most, once per process. There is none where torch lacks FBGEMM or
    its kernel.
    """
    if "fbgemm" not in torch.backends.quantized.supported_engines:
        return None
    if not hasattr(torch.ops.quantized, "linear_dynamic_fp16"):
        return None
    return _apart(lambda: next((rows for rows in _STEPS if _agree(*_example(), rows)), None))


@lru_cache(maxsize=1)
def fewest_half_rows() -> int:
    """The number of rows from which on all up to ``half_rows`` give every row the same bits too.

    Takes some milliseconds, once per process.
    """
    rows = half_rows()
    assert rows is not None, "asked where there are kernels"
    return _apart(lambda: _fewest(*_example(), rows))


def _apart(ask: Callable[[], Answer]) -> Answer:
    """Ask on a thread that ends then.

    OpenMP keeps workers for every thread that has computed while that thread lives. Had the one
    that asks some beside those of an engine's loop, both would sleep between calls.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(ask).result()


def _fewest(layer: HalfLinear, x: torch.Tensor, rows: int) -> int:
    whole = layer(x)

    def agree(count: int) -> bool:
        parts = [layer(part) for part in x.split(count) if len(part) == count]
        return torch.equal(torch.cat(parts), whole[: len(parts) * count])

    while rows > 1 and agree(rows - 1):
        rows -= 1
    return rows


def _example() -> tuple[HalfLinear, torch.Tensor]:
    """A layer and rows to ask with."""
    generator = torch.Generator().manual_seed(0)
    layer = HalfLinear(torch.randn(48, 600, generator=generator), None)
    return layer, torch.randn(_MOST_ROWS, 600, generator=generator)


def _agree(layer: HalfLinear, x: torch.Tensor, step: int) -> bool:
    """Whether rows have the same bits in calls of every multiple of ``step`` rows."""
    alone = torch.cat([layer(part) for part in x.split(step) if len(part) == step])
    counts = range(step, len(x) + 1, step)
    if not all(torch.equal(layer(x[:count]), alone[:count]) for count in counts):
        return False
    # Nor may it matter which row of a pass a row is.
    return torch.equal(layer(x.roll(1, 0)), layer(x).roll(1, 0))
