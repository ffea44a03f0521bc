"""Attention over the block pool, plugged into transformers under the name ``agentspark``.

The function writes the rows' keys and values into the pool and attends. On CUDA one FlexAttention
call does so for the whole batch, in place (``flex.py``). On CPU torch's flash kernel runs on views
of the pool, one sequence or two at a time (``tiles.py``); rows that see many keys are attended by
two matrix products (``products.py``).

The flash kernel's bits for a row depend on how rows and keys are tiled, so *exact* mode fixes the
tiling: keys are read up to the end of the kernel's own key block of 512, or to a shorter length
that is known to give the same bits (``lengths.py``), padded and masked; query rows in tiles small
enough for the kernel's smallest query block. A tile may then hold any number of rows of at least
four; where the matrix kernels treat rows by their place, as some do in float32, every row is
attended alone (``rows.py``).
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface

from agentspark.errors import CHOOSE_ANOTHER_MODEL, UnsupportedModelError
from agentspark.kv.batch import AttentionBatch, HeadShape
from agentspark.kv.flex import flex_attend
from agentspark.kv.products import attend_long
from agentspark.kv.store import KVStore, LayerKV
from agentspark.kv.tiles import MIN_ROWS, Strided, Tile

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
    heads, _, dim = q.shape
    kv_heads = layer.k.shape[0]
    shape = HeadShape(heads // kv_heads, dim, window)
    stacking = batch.stacking(shape, kv_heads)
    stacked = stacking.stack(q)
    results = []
    row_by_row = batch.row_by_row(shape)
    for index, tile in enumerate(batch.tiles(shape)):
        part = stacking.part(stacked, index, tile, shape.group)
        if row_by_row:
            results.append(_row_by_row(part, shape.group, layer, tile, scaling))
            continue
        k, v = _read(layer.k, tile), _read(layer.v, tile)
        if tile.long:
            assert tile.mask is not None, "a long tile has a mask of its last keys"
            results.append(attend_long(part[0], k[0], v[0], tile.mask, scaling=scaling)[None])
        else:
            results.append(scaled_dot_product_attention(part, k, v, tile.mask, scale=scaling))
    return stacking.unstack(results)


def _read(cache: torch.Tensor, tile: Tile) -> torch.Tensor:
    """Keys or values of a tile ``[parts, kv_heads, keys, dim]``, a view where they are one run."""
    place = tile.place
    if isinstance(place, Strided):
        kv_heads, slots, dim = cache.shape
        size = (len(tile.begins), kv_heads, place.length, dim)
        return cache.as_strided(size, (place.step * dim, slots * dim, dim, 1), place.first * dim)
    if isinstance(place, torch.Tensor):
        return cache.index_select(1, place)[None]
    return torch.cat([cache[:, run] for run in place], dim=1)[None]


def _row_by_row(
    part: torch.Tensor, group: int, layer: LayerKV, tile: Tile, scaling: float | None
) -> torch.Tensor:
    """Attend a tile of one part, every row alone; ``[1, kv_heads, rows * group + extra, dim]``."""
    rows = tile.rows
    q = part[0, :, : rows * group].unflatten(1, (rows, group)).transpose(0, 1)
    if group < MIN_ROWS:
        q = pad(q, (0, 0, 0, MIN_ROWS - group))
    mask = None if tile.mask is None else tile.mask[0, 0, : rows * group : group, None, None, :]
    k, v = (_read(cache, tile).expand(rows, -1, -1, -1) for cache in (layer.k, layer.v))
    out = scaled_dot_product_attention(q, k, v, mask, scale=scaling)[:, :, :group]
    return pad(out.transpose(0, 1).flatten(1, 2), (0, 0, 0, tile.extra))[None]


def forward_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    kv_store: KVStore | None = None,
    kv_batch: AttentionBatch | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention function: ``query`` ``[1, H, T, D]`` to ``([1, T, H, D], None)``.

    ``attention_mask`` is ``None`` (the name is not in transformers' mask interface) but for models
    that make one of their own; the remaining arguments speak of padding and caches that a
    flattened batch does not have. Raises ``UnsupportedModelError`` for models whose attention caps
    its scores, has sinks or a bias of its own, attends twice a layer, or does not pass on what
    says where keys and values are.
    """
    if kv_store is None or kv_batch is None:
        raise UnsupportedModelError(
            "This model does not tell its attention where keys and values are kept. "
            f"{CHOOSE_ANOTHER_MODEL}"
        )
    if attention_mask is not None:
        raise UnsupportedModelError(
            "This model's attention has a mask or bias of its own, which agentspark does not "
            f"compute. {CHOOSE_ANOTHER_MODEL}"
        )
    if softcap is not None or s_aux is not None:
        raise UnsupportedModelError(
            "This model caps attention scores or uses attention sinks, which agentspark "
            f"does not compute. {CHOOSE_ANOTHER_MODEL}"
        )
    layer = kv_store.target[module.layer_idx]  # type: ignore[index]
    if not getattr(module, "is_kv_shared_layer", False):
        # Else the layer is its donor's, which wrote them already.
        if module.layer_idx in kv_batch.written:
            raise UnsupportedModelError(
                "This model attends twice in a layer, with keys and values for which there is one "
                f"place. {CHOOSE_ANOTHER_MODEL}"
            )
        kv_batch.written.add(module.layer_idx)  # type: ignore[arg-type]
        layer.write(kv_batch.slots, key[0], value[0])
    out = attend(query[0], layer, kv_batch, scaling=scaling, window=sliding_window)
    return out.transpose(0, 1).unsqueeze(0), None


def register() -> None:
    """Make ``attn_implementation="agentspark"`` known to transformers."""
    AttentionInterface.register(NAME, forward_attention)
