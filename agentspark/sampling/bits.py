"""Bit masks over the vocabulary: which tokens a grammar allows, applied to rows of logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Bits = NDArray[np.int32]


def all_allowed(rows: int, vocab_size: int) -> Bits:
    """``[rows, ceil(vocab_size / 32)]``, every bit set."""
    return np.full((rows, (vocab_size + 31) // 32), -1, dtype=np.int32)


def allowed(bits: Bits, vocab_size: int) -> NDArray[np.bool_]:
    """``[rows, vocab_size]``: bit ``i`` of row ``r`` says whether token ``i`` may come there."""
    flat = np.unpackbits(bits.view(np.uint8), axis=1, count=vocab_size, bitorder="little")
    return flat.view(np.bool_)


def single(bits: Bits) -> NDArray[np.bool_]:
    """``[rows]``: whether exactly one token is allowed."""
    only: NDArray[np.bool_] = np.bitwise_count(bits.view(np.uint32)).sum(axis=1) == 1
    return only


def forbid(logits: Tensor, bits: Bits) -> None:
    """Give ``-inf`` to what ``bits`` does not allow, in place; ``logits`` is ``[rows, V]``."""
    vocab_size = logits.shape[1]
    if logits.device.type == "cpu":
        logits.masked_fill_(torch.from_numpy(~allowed(bits, vocab_size)), float("-inf"))
        return
    words = torch.from_numpy(bits).to(logits.device, non_blocking=True)
    shifts = torch.arange(32, dtype=torch.int32, device=logits.device)
    flat = (words.unsqueeze(-1) >> shifts).bitwise_and_(1).flatten(1)[:, :vocab_size]
    logits.masked_fill_(flat == 0, float("-inf"))


def clear(bits: Bits, rows: int, token_ids: Sequence[int]) -> None:
    """Forbid ``token_ids`` in the first ``rows`` rows, in place, where anything else is left."""
    if rows <= 0 or not token_ids:
        return
    kept = bits[:rows].copy()
    words = kept.view(np.uint32)
    for token in token_ids:
        words[:, token >> 5] &= np.uint32(0xFFFFFFFF ^ (1 << (token & 31)))
    left = kept.any(axis=1)
    bits[:rows][left] = kept[left]


def leave(bits: Bits, row: int, token: int) -> None:
    """Allow nothing but ``token`` in one row, in place."""
    bits[row] = 0
    bits.view(np.uint32)[row, token >> 5] = 1 << (token & 31)
