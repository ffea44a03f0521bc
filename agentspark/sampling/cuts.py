"""Top-k, top-p and min-p on probabilities, in place.

All three keep what is at least as likely as some floor; the floor is found among the most likely
tokens. On the CPU those are picked out first (a language model's row has few of them): sorting a
whole row of 49,152 takes 3 ms, this 0.1 ms. Elsewhere whole rows are sorted at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentspark.sampling.params import SamplingParams

# A row's most likely tokens: those above the first of these that leaves enough of them.
_CANDIDATES_ABOVE = (1e-4, 1e-7, 0.0)

_Float32s = NDArray[np.float32]


def cut_rows(probs: Tensor, params: Sequence[SamplingParams]) -> None:
    """Apply each row's top-k, then top-p, then min-p to ``probs`` ``[R, V]``, renormalised.

    Tokens exactly as likely as the last one kept are kept too. Greedy rows and rows without a
    filter are left alone; a row's bits do not depend on the other rows.
    """
    rows = [r for r, p in enumerate(params) if _cuts(p)]
    if not rows:
        return
    if probs.device.type != "cpu":
        probs[rows] = _cut_sorted(probs[rows], [params[r] for r in rows])
        return
    for r in rows:
        row = probs[r]
        floor, mass = _floor_and_mass(row.numpy(), params[r])
        below = float(np.nextafter(floor, np.float32(0)))
        torch.nn.functional.threshold(row, below, 0.0, inplace=True).div_(mass)


def _cuts(p: SamplingParams) -> bool:
    return not p.greedy and (p.top_k > 0 or p.top_p < 1.0 or p.min_p > 0.0)


def _floor_and_mass(row: _Float32s, p: SamplingParams) -> tuple[np.float32, float]:
    """The least probability to keep, and the mass of what is kept (summed in float64)."""
    for above in _CANDIDATES_ABOVE:
        # Descending; everything not in it is less likely than everything in it.
        ordered = -np.sort(-row[row > above])
        running = ordered.cumsum(dtype=np.float64)
        if len(ordered) and (above == 0.0 or _enough(ordered, running, p, above)):
            break
    count = len(ordered)
    if 0 < p.top_k < count:
        count = _at_least(ordered, ordered[p.top_k - 1])
    if p.top_p < 1.0:
        mass = running[count - 1] if p.top_k else 1.0
        last = int(np.searchsorted(running[:count], p.top_p * mass))
        count = _at_least(ordered[:count], ordered[min(last, count - 1)])
    if p.min_p > 0.0:
        count = _at_least(ordered[:count], np.float32(p.min_p) * ordered[0])
    return ordered[count - 1], float(running[count - 1])


def _enough(
    ordered: _Float32s,
    running: NDArray[np.float64],
    p: SamplingParams,
    above: float,
) -> bool:
    """Whether everything that may be kept is among these candidates."""
    if p.top_k:
        return len(ordered) >= p.top_k
    if p.top_p < 1.0:
        return bool(running[-1] >= p.top_p)
    return bool(p.min_p * ordered[0] > above)


def _at_least(ordered: _Float32s, floor: np.float32) -> int:
    """How many of the descending values are not below ``floor``."""
    return int(np.searchsorted(-ordered, -floor, side="right"))


def _cut_sorted(probs: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """The same on whole sorted rows, vectorised: for devices that sort fast."""
    vocab = probs.shape[1]
    ordered = probs.sort(dim=-1, descending=True).values
    running = ordered.cumsum(dim=-1, dtype=torch.float64)
    ks = torch.tensor([[min(p.top_k or vocab, vocab) - 1] for p in params], device=probs.device)
    floor = ordered.gather(1, ks)
    whole = torch.tensor([[p.top_k == 0] for p in params], device=probs.device)
    mass = _mass(ordered, running, floor).masked_fill(whole, 1.0)
    top_p = torch.tensor([[p.top_p] for p in params], dtype=torch.float64, device=probs.device)
    last = torch.searchsorted(running, top_p * mass).clamp_(max=vocab - 1)
    nucleus = ordered.gather(1, last).masked_fill(top_p >= 1.0, 0.0)
    min_p = torch.tensor([[p.min_p] for p in params], dtype=torch.float32, device=probs.device)
    floor = torch.maximum(torch.maximum(floor, nucleus), min_p * ordered[:, :1])
    mass = _mass(ordered, running, floor).to(probs.dtype)
    return torch.where(probs >= floor, probs / mass, 0.0)


def _mass(ordered: Tensor, running: Tensor, floor: Tensor) -> Tensor:
    """Mass of the values not below ``floor`` ``[R, 1]`` of each row, ``[R, 1]`` float64."""
    kept = (ordered >= floor).sum(dim=-1, keepdim=True)
    return running.gather(1, kept - 1)
