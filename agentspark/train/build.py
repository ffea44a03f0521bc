"""A new drafter for a target: its config, its draft vocabulary, its first weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agentspark.drafting.loading import AUTO, fingerprint_of, shipped_drafter
from agentspark.dspark.check import check_drafter, target_fingerprint
from agentspark.dspark.checkpoint import load_drafter
from agentspark.dspark.config import DrafterConfig
from agentspark.dspark.kinds import KINDS, Backbone
from agentspark.dspark.model import DraftModel, build_model
from agentspark.errors import (
    ConfigError,
    DrafterFormatError,
    TrainError,
    UnsupportedModelError,
)
from agentspark.models.modules import logit_cap, target_matrices
from agentspark.models.target import Target, load_target
from agentspark.models.text_part import GEMMA4_TYPES
from agentspark.train.config import DrafterShape, TrainConfig
from agentspark.train.grow import grown
from agentspark.train.initial import initialise
from agentspark.train.vocabulary import choose_draft_vocab

_LAYERS_READ = 4


def spread_layers(count: int) -> tuple[int, ...]:
    """Return up to four layers spread over a target of ``count``, the last one left out."""
    first, last = (1, count - 2) if count > 3 else (0, max(count - 2, 0))
    steps = max(_LAYERS_READ - 1, 1)
    return tuple(sorted({round(first + i * (last - first) / steps) for i in range(steps + 1)}))


def mask_token(target: Target) -> int:
    """Return a token for the slots to be filled: a special one that chats do not contain."""
    tokenizer = target.tokenizer
    used = set(tokenizer.encode_chat([{"role": "user", "content": "a"}]))
    used |= set(target.spec.eos_token_ids)
    hf = tokenizer.hf
    used |= {i for i in (hf.bos_token_id, hf.eos_token_id, hf.pad_token_id) if i is not None}
    free = [i for i in hf.get_added_vocab().values() if i not in used]
    return max((i for i in free if i < target.spec.vocab_size), default=target.spec.vocab_size - 1)


def _style(target: Target, shape: DrafterShape) -> Backbone:
    """The style of the new drafter's layers: the one asked for, or the target's own."""
    kind = target.model.config.model_type
    if kind not in GEMMA4_TYPES:
        return shape.backbone or "qwen3"
    if not KINDS[shape.family].heads or shape.backbone == "qwen3":
        raise UnsupportedModelError(
            f"{target.name} is a Gemma 4, which scales its embedding: its drafters have family "
            "dspark and Gemma 4's backbone."
        )
    return "gemma4"


def drafter_config(target: Target, shape: DrafterShape, anchors: int = 512) -> DrafterConfig:
    """Return the config of a new drafter with the target's sizes.

    ``anchors`` are the positions of a response that a step learns from, as DeepSpec notes them.
    """
    config: Any = target.model.config
    style = _style(target, shape)
    rope = getattr(config, "rope_parameters", None)
    if isinstance(rope, Mapping):
        rope = rope.get("full_attention", rope)
    if not isinstance(rope, Mapping) or "rope_type" not in rope:
        raise UnsupportedModelError(
            f"{target.name} has no single set of rotary positions: no drafter of this kind can "
            "be trained for it."
        )
    gemma = style == "gemma4"
    spec = target.spec
    pruned = shape.draft_vocab_size is not None and shape.draft_vocab_size < spec.vocab_size
    return DrafterConfig(
        family=shape.family,
        backbone=style,
        hidden_size=spec.hidden_size,
        intermediate_size=int(config.intermediate_size),
        num_hidden_layers=shape.layers,
        num_attention_heads=spec.num_heads,
        num_key_value_heads=spec.attention[-1].kv_heads,
        head_dim=spec.attention[-1].head_dim,
        vocab_size=spec.vocab_size,
        num_target_layers=spec.num_layers,
        target_layer_ids=shape.target_layer_ids or spread_layers(spec.num_layers),
        mask_token_id=mask_token(target) if shape.mask_token_id is None else shape.mask_token_id,
        block_size=shape.block_size,
        sample_from_anchor=shape.sample_from_anchor,
        num_anchors=anchors,
        rms_norm_eps=float(config.rms_norm_eps),
        max_position_embeddings=spec.max_context,
        rope_parameters=dict(rope),
        attention_k_eq_v=gemma and bool(getattr(config, "attention_k_eq_v", False)),
        hidden_act="gelu_pytorch_tanh" if gemma else "silu",
        final_logit_softcapping=logit_cap(target.model),
        markov_rank=shape.markov_rank,
        markov_head_type=shape.markov_head_type,
        enable_confidence_head=KINDS[shape.family].heads,
        confidence_head_with_markov=KINDS[shape.family].heads,
        draft_vocab_size=shape.draft_vocab_size if pruned else None,
        markov_w1_pruned=pruned and shape.markov_rank > 0,
        target_fingerprint=fingerprint_of(target),
    )


def new_drafter(
    target: Target, shape: DrafterShape, counts: Tensor, seed: int, dtype: torch.dtype,
    anchors: int = 512,
) -> DraftModel:  # fmt: skip
    """Return a drafter at its first weights, with the target attached.

    ``counts [V]`` say how frequent tokens are; a pruned draft vocabulary takes the most frequent.
    ``anchors`` are those of its config.
    """
    config = drafter_config(target, shape, anchors)
    ids = None
    if config.draft_vocab_size is not None:
        ids = choose_draft_vocab(counts, config.draft_vocab_size, target.spec.eos_token_ids)
    model = build_model(config, ids)
    initialise(model, target.model, seed)
    model = model.to(target.spec.device, dtype)
    model.attach_target(*target_matrices(target.model))
    return model.train()


def initial_drafter(init: Path | None, target: Target) -> Path:
    """Return the folder to begin with, where ``auto`` is the drafter that ships for the target."""
    if init is None:
        raise ConfigError("an adaptation needs a drafter to begin with: give init.")
    if str(init) != AUTO:
        return init
    found = shipped_drafter(fingerprint_of(target))
    if found is None:
        raise DrafterFormatError(f"No drafter ships for {target.name}: give the folder of one.")
    return found


def check_init(config: TrainConfig) -> None:
    """Check ``config.init`` before anything is computed; the errors of ``loaded_drafter``."""
    if config.init is not None:
        target = load_target(config.target, dtype=torch.bfloat16)
        init = initial_drafter(config.init, target)
        loaded_drafter(target, init, torch.bfloat16, config.shape)


def loaded_drafter(
    target: Target,
    folder: Path,
    dtype: torch.dtype,
    shape: DrafterShape | None = None,
    counts: Tensor | None = None,
    advice: str | None = None,
) -> DraftModel:
    """Return a trained drafter to go on with, grown to what is given in ``shape``, if it can.

    ``counts [V]`` say how frequent tokens are, for a larger draft vocabulary; without them, which
    is enough to check whether it can grow, lower ids are taken.
    Raises ``DrafterMismatchError`` for another target's (with ``advice``, if given), and
    ``TrainError`` for one that is not of the family of ``shape`` or has not what else was given
    there.
    """
    model = load_drafter(folder, dtype=dtype, device=target.spec.device)
    broken = [name for name, w in model.state_dict().items() if not bool(w.isfinite().all())]
    if broken:
        raise DrafterFormatError(
            f"the drafter in {folder} has weights that are not finite ({broken[0]}): nothing can "
            "be made of it; take another."
        )
    matrices = target_matrices(target.model)
    check_drafter(model.config, target.spec, target_fingerprint(*matrices), advice)
    if shape is not None:
        if model.config.family != shape.family:
            raise TrainError(
                f"the drafter in {folder} is of family {model.config.family}, not "
                f"{shape.family}: give its family, or another folder."
            )
        unknown = torch.zeros(target.spec.vocab_size, dtype=torch.float64)
        model = grown(model, shape, unknown if counts is None else counts)
        check_given(model.config, shape, folder)
    model.attach_target(*matrices)
    return model.requires_grad_(True).train()


def check_given(have: DrafterConfig, shape: DrafterShape, folder: Path) -> None:
    """Raise ``TrainError`` where the drafter in ``folder`` has not what was given in ``shape``."""
    wrong = []
    for name, asked in shape.given.items():
        found: object = getattr(have, name)
        if name == "draft_vocab_size":
            asked = min(shape.draft_vocab_size or have.vocab_size, have.vocab_size)
            found = have.draft_vocab
        if found != asked:
            wrong.append(f"{name} {found}, not {asked}")
    if wrong:
        raise TrainError(
            f"the drafter in {folder} has {'; '.join(wrong)}: leave out what it cannot have, or "
            "train without it, in another folder."
        )
