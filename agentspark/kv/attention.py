"""Attention over the block pool, plugged into transformers under the name ``agentspark``.

The function writes the rows' keys and values into the pool and attends. On CUDA one FlexAttention
call does so for the whole batch, in place (``flex.py``). On CPU torch's flash kernel runs segment
by segment on views of the pool, or on many short segments at once (``stack.py``).

The kernel's bits for a row depend on how rows and keys are tiled, so *exact* mode fixes the tiling:
keys are read up to the end of the kernel's own key block of 512, or to a shorter length that is
known to give the same bits (``lengths.py``), padded and masked; query rows in tiles small enough
for the kernel's smallest query block. In bfloat16 a tile may then hold any number of rows of at
least four; in float32 the matrix kernels treat rows by their position, so every row is a tile of
its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface

from agentspark.errors import UnsupportedModelError
from agentspark.kv.batch import MIN_ROWS, AttentionBatch, HeadShape, Tile
from agentspark.kv.flex import flex_attend
from agentspark.kv.store import KVStore, LayerKV

NAME = "agentspark"


def attend(
    q: torch.Tensor,
    layer: LayerKV,
    batch: AttentionBatch,
    *,
    scaling: float | None = None,
    window: int | None = None,
) -> torch.Tensor:
    """Attention of all rows of ``batch`` over their sequences' cached keys and values.

    ``q`` is ``[heads, rows, head_dim]``; the result has its shape. Padding rows give numbers that
    mean nothing.
    """
    if q.is_cuda:
        return flex_attend(q, layer.k, layer.v, batch, scaling=scaling, window=window)
    heads, rows, dim = q.shape
    kv_heads = layer.k.shape[0]
    grouped = q.view(kv_heads, heads // kv_heads, rows, dim)
    shape = HeadShape(heads // kv_heads, dim, window)
    tiles, stacks = batch.tiles(shape), batch.stacks(shape)
    if len(tiles) == 1 and not stacks:
        # One sequence; what follows its rows is padding.
        own = tiles[0].rows
        only = _attend_tile(grouped[:, :, :own], layer, tiles[0], scaling, batch)
        return (only if own == rows else pad(only, (0, 0, 0, rows - own))).reshape(q.shape)
    out = torch.zeros_like(q, memory_format=torch.contiguous_format).view(grouped.shape)
    for tile in tiles:
        part = slice(tile.begin, tile.begin + tile.rows)
        out[:, :, part] = _attend_tile(grouped[:, :, part], layer, tile, scaling, batch)
    for stack in stacks:
        rows_done, part_out = stack.attend(grouped, layer, scaling)
        out.index_copy_(2, rows_done, part_out)
    return out.view(heads, rows, dim)


def _attend_tile(
    q: torch.Tensor, layer: LayerKV, tile: Tile, scaling: float | None, batch: AttentionBatch
) -> torch.Tensor:
    """Attend one tile of queries ``[kv_heads, group, rows, dim]``; the result has their shape."""
    k, v = _read(layer.k, tile.place), _read(layer.v, tile.place)
    if batch.exact and q.dtype == torch.float32:
        return _row_by_row(q, k, v, tile.mask, scaling)
    kv_heads, group, rows, dim = q.shape
    flat = q.reshape(kv_heads, group * rows, dim)
    if tile.extra:
        flat = pad(flat, (0, 0, 0, tile.extra))
    out = scaled_dot_product_attention(flat[None], k[None], v[None], tile.mask, scale=scaling)
    return out[0, :, : group * rows].view(kv_heads, group, rows, dim)


def _read(cache: torch.Tensor, place: list[slice] | torch.Tensor) -> torch.Tensor:
    if isinstance(place, torch.Tensor):
        return cache.index_select(1, place)
    if len(place) == 1:
        return cache[:, place[0]]
    return torch.cat([cache[:, run] for run in place], dim=1)


def _row_by_row(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
) -> torch.Tensor:
    group, rows = q.shape[1], q.shape[2]
    alone = q.permute(2, 0, 1, 3)
    if group < MIN_ROWS:
        alone = pad(alone, (0, 0, 0, MIN_ROWS - group))
    per_row = None if mask is None else mask[0, 0, :rows, None, None, :]
    keys, values = k.expand(rows, *k.shape), v.expand(rows, *v.shape)
    out = scaled_dot_product_attention(alone, keys, values, per_row, scale=scaling)
    return out[:, :, :group].permute(1, 2, 0, 3)


def forward_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    kv_store: KVStore,
    kv_batch: AttentionBatch,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention function: ``query`` ``[1, H, T, D]`` to ``([1, T, H, D], None)``.

    ``attention_mask`` is always ``None`` (the name is not in transformers' mask interface); the
    remaining arguments speak of padding and caches that a flattened batch does not have. Raises
    ``UnsupportedModelError`` for models whose attention caps its scores or has sinks.
    """
    if softcap is not None or s_aux is not None:
        raise UnsupportedModelError(
            "This model caps attention scores or uses attention sinks, which agentspark "
            "does not compute: choose a model without them (Llama, Qwen, SmolLM, Mistral)."
        )
    layer = kv_store.target[module.layer_idx]  # type: ignore[index]
    if not getattr(module, "is_kv_shared_layer", False):
        # Else the layer is its donor's, which wrote them already.
        layer.write(kv_batch.slots, key[0], value[0])
    out = attend(query[0], layer, kv_batch, scaling=scaling, window=sliding_window)
    return out.transpose(0, 1).unsqueeze(0), None


def register() -> None:
    """Make ``attn_implementation="agentspark"`` known to transformers."""
    AttentionInterface.register(NAME, forward_attention)
