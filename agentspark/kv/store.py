"""The tensors behind the block pool: keys and values of the target's and the drafter's layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress

import torch

from agentspark.kv.blocks import block_runs

# Attention reads whole runs of slots and masks what is not a sequence's own; the slack lets such a
# read go past the last block.
READ_GRANULE = 512


@dataclass(frozen=True, slots=True)
class LayerShape:
    """Key/value shape of one attention layer: ``kv_heads`` heads of ``head_dim``."""

    kv_heads: int
    head_dim: int


@dataclass(slots=True)
class LayerKV:
    """Keys and values of one layer for every slot of the pool: ``[kv_heads, slots, head_dim]``."""

    k: torch.Tensor
    v: torch.Tensor

    @classmethod
    def allocate(
        cls, shape: LayerShape, slots: int, dtype: torch.dtype, device: torch.device
    ) -> LayerKV:
        """Zeroed storage: a masked slot must hold a finite number, never what memory held."""
        size = (shape.kv_heads, slots, shape.head_dim)
        return cls(
            torch.zeros(size, dtype=dtype, device=device),
            torch.zeros(size, dtype=dtype, device=device),
        )

    def write(self, slots: torch.Tensor | slice, k: torch.Tensor, v: torch.Tensor) -> None:
        """Store ``k``, ``v`` (``[kv_heads, rows, head_dim]``) in the rows' slots.

        Rows that have no slot, the last of a padded batch, are dropped.
        """
        count = slots.stop - slots.start if isinstance(slots, slice) else slots.numel()
        if count < k.shape[1]:
            k, v = k[:, :count], v[:, :count]
        if isinstance(slots, slice):
            self.k[:, slots] = k
            self.v[:, slots] = v
        else:
            self.k.index_copy_(1, slots, k)
            self.v.index_copy_(1, slots, v)

    def clear_broken(self) -> set[int]:
        """Put zeros in the slots that hold numbers which are not finite, and return these."""
        # A sum is finite where all it adds up is, and takes a tenth of the time of asking each.
        sums = self.k.sum(dim=2).abs() + self.v.sum(dim=2).abs()
        slots = (~sums.isfinite()).any(dim=0).nonzero().flatten()
        if not len(slots):
            return set()
        self.k.index_fill_(1, slots, 0.0)
        self.v.index_fill_(1, slots, 0.0)
        return set(slots.tolist())


def bytes_per_token(layers: Iterable[LayerShape | int], dtype: torch.dtype) -> int:
    """Return what one token's keys and values take in layers that have their own."""
    own = [layer for layer in layers if isinstance(layer, LayerShape)]
    return sum(2 * shape.kv_heads * shape.head_dim * dtype.itemsize for shape in own)


class KVStore:
    """Storage for ``num_blocks`` blocks of ``block_tokens`` tokens each.

    A block holds its tokens' keys and values of all target layers and of all drafter layers, so a
    prefix hit restores the drafter's context with the target's. A target layer without keys and
    values of its own is given as the number of the earlier layer whose storage it reads.
    """

    def __init__(
        self,
        num_blocks: int,
        block_tokens: int,
        target: Sequence[LayerShape | int],
        drafter: Sequence[LayerShape],
        *,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.num_blocks = num_blocks
        self.block_tokens = block_tokens
        self.capacity = num_blocks * block_tokens
        slots = self.capacity + READ_GRANULE
        self.target: list[LayerKV] = []
        for shape in target:
            self.target.append(
                self.target[shape]
                if isinstance(shape, int)
                else LayerKV.allocate(shape, slots, dtype, device)
            )
        self.drafter = [LayerKV.allocate(shape, slots, dtype, device) for shape in drafter]
        owners = (isinstance(shape, LayerShape) for shape in target)
        self._own_target = [*compress(self.target, owners)]
        self._own = [*self._own_target, *self.drafter]
        self.bytes_per_token = bytes_per_token([*target, *drafter], dtype)

    def copy(self, blocks: Sequence[int], first: int) -> None:
        """Copy what ``blocks`` hold, in this order, to the blocks from ``first`` on.

        The two must not overlap.
        """
        size, at = self.block_tokens, first
        for start, count in block_runs(blocks):
            source = slice(start * size, (start + count) * size)
            target = slice(at * size, (at + count) * size)
            for layer in self._own:
                layer.k[:, target] = layer.k[:, source]
                layer.v[:, target] = layer.v[:, source]
            at += count

    @property
    def last_target(self) -> LayerKV:
        """The last target layer with keys and values of its own."""
        return self._own_target[-1]

    def clear_broken(self) -> tuple[set[int], set[int]] | None:
        """Put zeros in the slots that hold numbers which are not finite, in all layers.

        Returns these slots, ``(first, every)``: of the first target layer that has any, and of all
        target layers; ``None`` if these have none. Reads the whole pool.
        """
        first: set[int] = set()
        every: set[int] = set()
        for index, layer in enumerate(self._own):
            found = layer.clear_broken()
            if index < len(self._own_target):
                first = first or found
                every |= found
        return (first, every) if every else None

    def release(self) -> None:
        """Give the memory back; nothing is read or written any more."""
        for layer in self._own:
            layer.k, layer.v = layer.k.new_empty(0), layer.v.new_empty(0)

    @property
    def scratch_slot(self) -> int:
        """A slot that belongs to no block: what is read to fill up is read there."""
        return self.capacity
