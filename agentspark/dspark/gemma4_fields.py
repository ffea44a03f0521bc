"""The layout of DeepSpec's Gemma 4 drafters (``Gemma4DSparkModel``), read and written.

Their ``config.json`` is a Gemma 4 text config whose layers all attend to everything: the sizes of
such layers are fields of their own there, and rotary parameters stand under the layers' type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentspark.errors import DrafterFormatError

ARCHITECTURE = "Gemma4DSparkModel"
_FULL = "full_attention"
# What a Gemma 4 may have and its drafters have not.
_WITHOUT = {
    "enable_moe_block": False,
    "hidden_size_per_layer_input": 0,
    "num_kv_shared_layers": 0,
    "use_double_wide_mlp": False,
}


def is_gemma4(raw: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` is of this layout."""
    return list(raw.get("architectures") or []) == [ARCHITECTURE]


def flat_fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a ``config.json`` of this layout under the Qwen3 layout's names.

    Raises ``DrafterFormatError`` for layers that no drafter of this kind has.
    """
    wide = raw.get("use_double_wide_mlp") and raw.get("num_kv_shared_layers")
    for name in ("enable_moe_block", "hidden_size_per_layer_input", "use_double_wide_mlp"):
        if raw.get(name) and (wide or name != "use_double_wide_mlp"):
            raise DrafterFormatError(
                f"the drafter's config has {name}={raw[name]!r}: Gemma 4 drafters have no such "
                "layers. Take another checkpoint."
            )
    fields = dict(raw)
    shared = bool(raw.get("attention_k_eq_v", False))
    fields["attention_k_eq_v"] = shared
    fields["head_dim"] = raw.get("global_head_dim") or raw.get("head_dim")
    if shared and raw.get("num_global_key_value_heads"):
        fields["num_key_value_heads"] = raw["num_global_key_value_heads"]
    fields["hidden_act"] = raw.get("hidden_activation", "gelu_pytorch_tanh")
    rope = raw.get("rope_parameters")
    if isinstance(rope, Mapping) and _FULL in rope:
        fields["rope_parameters"] = rope[_FULL]
    return {**fields, "backbone": "gemma4"}


def gemma4_fields(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return a Qwen3-style ``config.json``'s content in this layout."""
    fields = {name: value for name, value in plain.items() if name != "rope_theta"}
    return {
        **fields,
        "architectures": [ARCHITECTURE],
        "model_type": "gemma4_text",
        "hidden_activation": fields.pop("hidden_act"),
        "global_head_dim": plain["head_dim"],
        "num_global_key_value_heads": plain["num_key_value_heads"],
        "rope_parameters": {_FULL: plain["rope_parameters"]},
        **_WITHOUT,
    }
