"""What each of a target's attention layers keeps: how many key heads, how wide, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentspark.errors import UnsupportedModelError
from agentspark.models.modules import decoder_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class AttentionLayer:
    """Keys and values of one decoder layer: ``kv_heads`` heads of ``head_dim``.

    ``donor`` is the earlier layer whose keys and values it reads in place of its own, if any.
    """

    kv_heads: int
    head_dim: int
    donor: int | None = None


def attention_layers(model: PreTrainedModel) -> tuple[AttentionLayer, ...]:
    """Return every decoder layer's shape, in order.

    Most models say one shape in their config. Where layers differ (Gemma 4), it is read off the
    layers themselves, as is which of them share; ``UnsupportedModelError`` where they do not show
    it. The model may be on the meta device.
    """
    config: Any = model.config
    if not (differing(config) or getattr(config, "num_kv_shared_layers", None)):
        heads = config.num_attention_heads
        kv_heads = getattr(config, "num_key_value_heads", None) or heads
        head_dim = getattr(config, "head_dim", None) or config.hidden_size // heads
        return (AttentionLayer(kv_heads, head_dim),) * int(config.num_hidden_layers)
    layers: list[AttentionLayer] = []
    donors: dict[str, int] = {}
    for index, layer in enumerate(decoder_layers(model)):
        attention, kind = getattr(layer, "self_attn", None), config.layer_types[index]
        if getattr(attention, "is_kv_shared_layer", False):
            donor = donors[kind]
            layers.append(AttentionLayer(layers[donor].kv_heads, layers[donor].head_dim, donor))
            continue
        projection, dim = getattr(attention, "k_proj", None), getattr(attention, "head_dim", None)
        if projection is None or not isinstance(dim, int):
            raise UnsupportedModelError(
                f"{type(model).__name__} has layers of different shapes that cannot be read: "
                "choose a model whose layers are alike, or Gemma 4."
            )
        donors[kind] = index
        layers.append(AttentionLayer(projection.out_features // dim, dim))
    return tuple(layers)


def differing(config: Any) -> bool:
    """Whether a config says that its layers are of different shapes."""
    return bool(
        getattr(config, "is_heterogeneous", False) or getattr(config, "global_head_dim", None)
    )
