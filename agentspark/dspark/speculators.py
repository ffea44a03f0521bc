"""The layout of vLLM's speculators project (``DSparkDraftModel``), read and written.

It holds what a DeepSpec file holds, nested and named otherwise: the backbone's fields are in
``transformer_layer_config``, layer ids count the embedding as 0 (DeepSpec's ids plus one), and a
pruned draft vocabulary is a pair of maps, ``d2t`` (int64 ``[V_draft]``: target id *minus* draft
id) and ``t2d`` (bool ``[V]``), with draft ids in the order of the target's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from agentspark.errors import DrafterFormatError

if TYPE_CHECKING:
    from agentspark.dspark.config import DrafterConfig

ARCHITECTURE = "DSparkDraftModel"

_BACKBONE = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "head_dim", "vocab_size", "rms_norm_eps", "max_position_embeddings",
    "attention_bias", "hidden_act",
)  # fmt: skip
_HEADS = (
    "block_size", "mask_token_id", "markov_rank", "markov_head_type", "enable_confidence_head",
    "confidence_head_with_markov",
)  # fmt: skip
# Ours: readers of the format ignore what they do not know.
_OWN = ("num_target_layers", "target_fingerprint")


def is_speculators(raw: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` is of this layout."""
    return "speculators_model_type" in raw or list(raw.get("architectures") or []) == [ARCHITECTURE]


def deepspec_fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a ``config.json`` of this layout under DeepSpec's names.

    Raises ``DrafterFormatError`` for another method's file and for DFlash's block layout, in
    which the anchor predicts nothing.
    """
    kind = raw.get("speculators_model_type", "dspark")
    inner = raw.get("transformer_layer_config")
    if kind != "dspark" or not isinstance(inner, Mapping):
        raise DrafterFormatError(
            f"the drafter is a speculators file of type {kind!r} or has no "
            "transformer_layer_config: take a DSpark one."
        )
    # Left out it means true to the library that writes these files.
    if not raw.get("sample_from_anchor", True):
        raise DrafterFormatError(
            "the drafter's blocks do not predict from the anchor (sample_from_anchor is false): "
            "this layout is not DSpark's and cannot be drafted with."
        )
    fields = {name: inner[name] for name in _BACKBONE if name in inner}
    fields |= {name: raw[name] for name in (*_HEADS, *_OWN) if name in raw}
    fields |= {n: inner[n] for n in ("rope_parameters", "rope_theta", "rope_scaling") if n in inner}
    ids = raw.get("aux_hidden_state_layer_ids") or ()
    fields["target_layer_ids"] = [int(i) - 1 for i in ids]
    if raw.get("draft_vocab_size") != inner.get("vocab_size"):
        fields["draft_vocab_size"] = raw.get("draft_vocab_size")
    fields.setdefault("num_target_layers", None)
    return {"architectures": ["Qwen3DSparkModel"], **fields}


def speculators_fields(
    config: DrafterConfig, verifier: str | None, architectures: Sequence[str]
) -> dict[str, Any]:
    """Return the content of ``config.json`` in this layout.

    ``verifier`` is the target's hub id or folder (``None``: not said), ``architectures`` what its
    config names.
    """
    plain = config.to_json()
    inner = {name: plain[name] for name in _BACKBONE}
    rope = {n: plain[n] for n in ("rope_parameters", "rope_theta") if n in plain}
    return {
        "architectures": [ARCHITECTURE],
        "speculators_model_type": "dspark",
        "dtype": "bfloat16",
        "tie_word_embeddings": False,
        "draft_vocab_size": config.draft_vocab,
        "aux_hidden_state_layer_ids": [i + 1 for i in config.target_layer_ids],
        "sample_from_anchor": True,
        **{name: plain[name] for name in (*_HEADS, *_OWN)},
        "transformer_layer_config": {
            "model_type": "qwen3",
            **inner,
            **rope,
            "layer_types": plain["layer_types"],
            "tie_word_embeddings": False,
        },
        "speculators_config": {
            "algorithm": "dspark",
            "default_proposal_method": "greedy",
            "proposal_methods": [
                {"proposal_type": "greedy", "speculative_tokens": config.block_size}
            ],
            "verifier": {"name_or_path": verifier, "architectures": list(architectures)},
        },
    }


def vocabulary_maps(draft_token_ids: Tensor, vocab_size: int) -> dict[str, Tensor]:
    """Return ``d2t`` and ``t2d`` of ascending target ids ``[V_draft]``."""
    ids = draft_token_ids.cpu().long()
    t2d = torch.zeros(vocab_size, dtype=torch.bool)
    t2d[ids] = True
    return {"d2t": ids - torch.arange(ids.numel()), "t2d": t2d}


def draft_tokens(d2t: Tensor) -> Tensor:
    """Return the target ids ``[V_draft]`` of a ``d2t`` map."""
    return d2t.long() + torch.arange(d2t.numel())
