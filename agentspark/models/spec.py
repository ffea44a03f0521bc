"""What the engine needs to know of a target, read from its config, and which targets it can run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentspark.errors import CHOOSE_ANOTHER_MODEL, UnsupportedModelError
from agentspark.models.layers import AttentionLayer, attention_layers
from agentspark.models.modules import decoder_layers
from agentspark.models.text_part import GEMMA4_TYPES

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

_NEEDED = ("num_hidden_layers", "num_attention_heads", "hidden_size", "vocab_size")
_ATTENTION = frozenset({"full_attention", "sliding_attention"})
# Config fields that, when set, make attention of another kind than the pool's.
_OTHER_KV = {
    "kv_lora_rank": "compressed keys and values (MLA)",
    "attn_logit_softcapping": "capped attention scores",
}


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """A target's shape. ``max_context`` counts prompt plus output tokens.

    ``attention`` has every layer's keys and values. ``eos_token_ids`` holds every token that ends a
    turn: the generation config's, the tokenizer's, and the one the chat template closes an
    assistant message with.
    """

    num_layers: int
    num_heads: int
    attention: tuple[AttentionLayer, ...]
    hidden_size: int
    vocab_size: int
    max_context: int
    eos_token_ids: frozenset[int]
    dtype: torch.dtype
    device: torch.device

    @classmethod
    def of(cls, model: PreTrainedModel, eos_token_ids: frozenset[int]) -> TargetSpec:
        """Read the shape of a loaded model whose config passed ``check_config``."""
        config: Any = model.config
        return cls(
            num_layers=config.num_hidden_layers,
            num_heads=config.num_attention_heads,
            attention=attention_layers(model),
            hidden_size=config.hidden_size,
            vocab_size=config.vocab_size,
            max_context=_max_context(config),
            eos_token_ids=eos_token_ids,
            dtype=model.dtype,
            device=model.device,
        )


def _max_context(config: Any) -> int:
    """Tokens that fit: where rotary positions are scaled by length, those before it begins.

    LongRoPE (Phi 3 and 4) turns all positions of a forward, and those of one request with those
    of the others, by other factors once one of them is long; cached keys would not fit any more.
    """
    most: int = config.max_position_embeddings
    rope = getattr(config, "rope_parameters", None) or {}
    for one in (rope, *(part for part in rope.values() if isinstance(part, Mapping))):
        if one.get("rope_type") == "longrope":
            first = one.get("original_max_position_embeddings")
            most = min(most, first or getattr(config, "original_max_position_embeddings", most))
    return most


def check_config(config: PreTrainedConfig, name: str) -> None:
    """Raise ``UnsupportedModelError`` unless the engine can run a model of this config.

    It must be a decoder-only language model of its own (no multimodal wrapper) whose layers attend
    to what came before, with keys and values.
    """
    problem = _problem(config)
    if problem is not None:
        raise UnsupportedModelError(
            f"{name} ({config.model_type}) cannot be run: {problem}. {CHOOSE_ANOTHER_MODEL}"
        )


def _problem(config: PreTrainedConfig) -> str | None:
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    if getattr(config, "is_encoder_decoder", False):
        return "it is an encoder-decoder model"
    if config.get_text_config() is not config:
        return "it is a multimodal wrapper around a language model"
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        return "it is not a causal language model"
    missing = [field for field in _NEEDED if not isinstance(getattr(config, field, None), int)]
    if missing:
        return f"its config has no {', '.join(missing)}"
    if not getattr(config, "max_position_embeddings", None):
        return "its config does not say how long a context may be (max_position_embeddings)"
    for field, meaning in _OTHER_KV.items():
        if getattr(config, field, None):
            return f"it has {meaning}"
    # Gemma 4's layers say how they share keys and values (``layers.py``); others are not read.
    if getattr(config, "num_kv_shared_layers", None) and config.model_type not in GEMMA4_TYPES:
        return "it has layers that share keys and values"
    if getattr(config, "use_bidirectional_attention", None) in (True, "all"):
        return "its tokens attend to those after them"
    kinds = set(getattr(config, "layer_types", None) or ()) - _ATTENTION
    if kinds:
        return f"it has layers of another kind ({', '.join(sorted(kinds))})"
    found = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    classes = found if isinstance(found, tuple) else (found,)
    if not all(getattr(kind, "_supports_attention_backend", False) for kind in classes):
        return "its attention cannot be replaced"
    return None


def outline(config: PreTrainedConfig) -> PreTrainedModel:
    """Build the model of a config on the meta device: its layers and shapes, without weights."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return model


def check_layers(model: PreTrainedModel, name: str) -> None:
    """Raise ``UnsupportedModelError`` for what only the built model shows; it needs no weights.

    The decoder must have its layers in ``layers``, attention without learned sinks, and keys and
    values whose shapes can be read.
    """
    decoder_layers(model, name)
    if any(key.endswith(".sinks") for key, _ in model.named_parameters()):
        raise UnsupportedModelError(
            f"{name} cannot be run: it has attention sinks. {CHOOSE_ANOTHER_MODEL}"
        )
    attention_layers(model)
