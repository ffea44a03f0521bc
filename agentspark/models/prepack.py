"""Linear layers laid out once for the CPU's matrix kernels, with projections of one input fused.

A plain ``nn.Linear`` re-orders its weight inside every call; on two cores that is a third of a
decoding step. oneDNN's packed layout takes the re-ordering out, and computing the projections that
read the same input in one call takes out half of the calls.

oneDNN makes a kernel for every number of rows and keeps a thousand of them, at 0.4 MiB and some
0.3 ms each (SmolLM2's sizes), so rows are filled up to one of few numbers. Where weights are to lie
in float16 (``half.py``), FBGEMM's layout takes the place of oneDNN's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from agentspark.models.half import HalfLinear, fits_half

# The row count the layout is chosen for: an anchor and a block of drafts.
_ROWS_HINT = 8

DECODER_SHARED_INPUT = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


def row_step(count: int) -> int:
    """Return the step of which row counts around ``count`` are multiples."""
    if count <= 16:
        return 1
    return 4 if count <= 64 else 32


class PackedLinear(nn.Module):
    """A frozen ``nn.Linear`` (bias included) in the CPU's packed layout; same call, same shapes."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.bias = None if bias is None else bias.detach()
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS_HINT)
        self.register_buffer("_packed", packed, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[..., in_features]`` to ``[..., out_features]``."""
        rows = x.numel() // self.in_features
        missing = -rows % row_step(rows)
        if not missing:
            return self._call(x)
        filled = nn.functional.pad(x.reshape(rows, self.in_features), (0, 0, 0, missing))
        return self._call(filled)[:rows].view(*x.shape[:-1], self.out_features)

    def _call(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._packed, self.bias, "none", [], ""
        )
        return out


Layout = type[PackedLinear] | type[HalfLinear]


class FusedProjection(nn.Module):
    """Several projections of one input in one call; stands where the first of them stood.

    The model calls the first projection first and the others right after it with the same input:
    each ``FusedPart`` then picks up its share of what this call computed.
    """

    def __init__(self, linears: Sequence[nn.Linear], layout: Layout) -> None:
        super().__init__()
        self._sizes = [linear.out_features for linear in linears]
        biases: list[torch.Tensor] = [linear.bias for linear in linears]
        self._linear = layout(
            torch.cat([linear.weight.detach() for linear in linears]),
            None if biases[0] is None else torch.cat(biases),
        )
        self._rest: list[torch.Tensor | None] = [None] * len(linears)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The first projection of ``x``; the others are kept for their parts to take."""
        parts: tuple[torch.Tensor, ...] = self._linear(x).split(self._sizes, dim=-1)
        self._rest = [None, *parts[1:]]
        return parts[0]

    def take(self, index: int) -> torch.Tensor:
        """Projection ``index`` of the last input; can be taken once."""
        part, self._rest[index] = self._rest[index], None
        assert part is not None, "a fused projection was taken before or twice"
        return part


class FusedPart(nn.Module):
    """The place of a projection that a ``FusedProjection`` computes."""

    def __init__(self, fused: FusedProjection, index: int) -> None:
        super().__init__()
        # In a list, so that the projection is not registered as this module's child too.
        self._fused = [fused]
        self._index = index

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the fused call computed for this projection from the same ``x``."""
        return self._fused[0].take(self._index)


def layout_of(model: nn.Module, *, half: bool) -> Layout | None:
    """The layout for the model's linear layers, if their device and dtype have one.

    ``half`` asks for weights in float16; the caller has made sure of ``half_rows``. A model that
    does not compute in float32 or has weights out of range gets the layout of its dtype.
    """
    weight = next(model.parameters())
    if weight.device.type != "cpu":
        return None
    if half and weight.dtype == torch.float32 and fits_half(model):
        return HalfLinear
    if not torch.backends.mkldnn.is_available():
        return None
    if weight.dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return None
    return PackedLinear if weight.dtype in (torch.bfloat16, torch.float32) else None


def prepack(
    model: nn.Module,
    layout: Layout,
    shared_input: Sequence[tuple[str, ...]] = DECODER_SHARED_INPUT,
) -> None:
    """Replace the model's linear layers in place by packed ones (frozen weights only).

    ``shared_input`` names sibling projections that are always called in this order with the same
    input; they are fused.
    """
    for module in list(model.modules()):
        for names in shared_input:
            _fuse(module, names, layout)
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, layout(child.weight, child.bias))


def _fuse(module: nn.Module, names: tuple[str, ...], layout: Layout) -> None:
    linears = [getattr(module, name, None) for name in names]
    if not all(type(linear) is nn.Linear for linear in linears):
        return
    found = [linear for linear in linears if isinstance(linear, nn.Linear)]
    if len({linear.bias is None for linear in found}) != 1:
        return
    fused = FusedProjection(found, layout)
    setattr(module, names[0], fused)
    for index, name in enumerate(names[1:], start=1):
        setattr(module, name, FusedPart(fused, index))
