"""A drafter's settings: the fields of a DeepSpec ``config.json``, read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from agentspark.dspark.gemma4_fields import ARCHITECTURE as GEMMA4_ARCHITECTURE
from agentspark.dspark.gemma4_fields import flat_fields, gemma4_fields, is_gemma4
from agentspark.dspark.kinds import BACKBONES, HEAD_TYPES, KINDS, Backbone, Family, HeadType, Kind
from agentspark.dspark.speculators import deepspec_fields, is_speculators
from agentspark.errors import DrafterFormatError

_ACTIVATIONS = ("silu", "gelu_pytorch_tanh")
CONFIG_FILE = "config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrafterConfig:
    """What a drafter's checkpoint says about itself; DeepSpec's names and meanings.

    ``num_hidden_layers`` counts draft layers, ``num_target_layers`` the target's (``None`` where a
    file does not say).
    ``target_layer_ids`` are 0-based decoder layers whose output is read (-1: the embedding).
    ``block_size`` is the number of drafts of a round. As many tokens go in where the anchor
    predicts too (``sample_from_anchor``); otherwise (DFlash's own layout) the anchor goes in
    besides. ``family`` and ``backbone``, the style of the layers, stand in the file as its
    architecture. ``attention_k_eq_v`` (Gemma 4) lets the keys' projection give the values too, and
    ``final_logit_softcapping`` ``c`` turns a logit ``z`` into ``c tanh(z / c)``, as in the target.

    Three fields are ours and are absent from a plain DeepSpec file. ``draft_vocab_size`` is the
    number of target tokens that can be drafted, ``None`` for all of them. ``markov_w1_pruned``
    says that the sequential head keeps one row per draftable token plus a last one that all other
    tokens share. ``target_fingerprint`` names the target's weights (see ``check.py``).
    """

    family: Family = "dspark"
    backbone: Backbone = "qwen3"
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    vocab_size: int
    num_target_layers: int | None
    target_layer_ids: tuple[int, ...]
    mask_token_id: int
    block_size: int = 7
    sample_from_anchor: bool = True
    num_anchors: int = 512
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 8192
    rope_parameters: Mapping[str, Any] = field(
        default_factory=lambda: {"rope_type": "default", "rope_theta": 10000.0}
    )
    attention_bias: bool = False
    attention_k_eq_v: bool = False
    hidden_act: str = "silu"
    final_logit_softcapping: float | None = None
    markov_rank: int = 256
    markov_head_type: HeadType = "vanilla"
    enable_confidence_head: bool = True
    confidence_head_with_markov: bool = True
    draft_vocab_size: int | None = None
    markov_w1_pruned: bool = False
    target_fingerprint: str | None = None

    def __post_init__(self) -> None:
        """Reject settings that no drafter can have (``DrafterFormatError``)."""
        for name in (
            "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "head_dim", "vocab_size", "num_target_layers", "block_size",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value < 1:
                raise _wrong(name, getattr(self, name), "a positive whole number")
        if self.num_attention_heads % self.num_key_value_heads:
            raise _wrong("num_key_value_heads", self.num_key_value_heads, "a divisor of the heads")
        ids = self.target_layer_ids
        last = (self.num_target_layers or ids[-1] + 2 if ids else 0) - 1
        if not ids or list(ids) != sorted(set(ids)) or ids[0] < -1 or ids[-1] >= last:
            raise _wrong("target_layer_ids", ids, f"increasing layer numbers from -1 to {last - 1}")
        if not 0 <= self.mask_token_id < self.vocab_size:
            raise _wrong("mask_token_id", self.mask_token_id, "a token of the vocabulary")
        if self.markov_rank < 0 or self.markov_head_type not in HEAD_TYPES:
            raise _wrong("markov_head_type", self.markov_head_type, "one of vanilla, gated, rnn")
        if self.hidden_act not in _ACTIVATIONS:
            raise _wrong("hidden_act", self.hidden_act, f"one of {', '.join(_ACTIVATIONS)}")
        if self.final_logit_softcapping is not None and not self.final_logit_softcapping > 0:
            raise _wrong(
                "final_logit_softcapping", self.final_logit_softcapping, "positive or null"
            )
        if self.draft_vocab_size is not None and not 0 < self.draft_vocab_size <= self.vocab_size:
            raise _wrong("draft_vocab_size", self.draft_vocab_size, "1 to vocab_size, or null")
        if self.markov_w1_pruned and self.draft_vocab_size is None:
            raise _wrong("markov_w1_pruned", True, "false where draft_vocab_size is null")
        reads_head = self.enable_confidence_head and self.confidence_head_with_markov
        if reads_head and not self.markov_rank:
            raise _wrong("confidence_head_with_markov", True, "false where markov_rank is 0")
        self._check_family()

    def _check_family(self) -> None:
        if self.backbone not in BACKBONES:
            raise _wrong("backbone", self.backbone, f"one of {', '.join(BACKBONES)}")
        if self.backbone != "qwen3" and not self.kind.heads:
            raise _wrong("backbone", self.backbone, f"qwen3 where the family is {self.family}")
        if self.backbone == "qwen3" and self.attention_k_eq_v:
            raise _wrong("attention_k_eq_v", True, "false where the backbone is qwen3")
        if not self.kind.heads:
            for name in ("markov_rank", "enable_confidence_head"):
                if getattr(self, name):
                    raise _wrong(name, getattr(self, name), f"0 or false: {self.family} has none")
        if not self.kind.anchor_apart and not self.sample_from_anchor:
            raise _wrong("sample_from_anchor", False, f"true where the family is {self.family}")
        if self.kind.chain and self.num_hidden_layers != 1:
            raise _wrong("num_hidden_layers", self.num_hidden_layers, f"1 for {self.family}")
        if self.kind.chain and self.hidden_size % 2:
            raise _wrong("hidden_size", self.hidden_size, f"even for {self.family}")
        if self.kind.most_drafts is not None and self.block_size > self.kind.most_drafts:
            most = f"at most {self.kind.most_drafts} for {self.family}"
            raise _wrong("block_size", self.block_size, most)

    @property
    def kind(self) -> Kind:
        """What it has in common with all of its family."""
        return KINDS[self.family]

    @property
    def draft_vocab(self) -> int:
        """How many tokens can be drafted: rows of the LM head and of ``markov_w2``."""
        return self.draft_vocab_size or self.vocab_size

    @property
    def slots(self) -> int:
        """Tokens that go into a block: ``block_size``, and the anchor where it only leads."""
        return self.block_size + (not self.sample_from_anchor)

    @property
    def feature_size(self) -> int:
        """Width of the concatenated target hidden states, ``m * hidden_size``."""
        return len(self.target_layer_ids) * self.hidden_size

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``config.json``."""
        data = asdict(self)
        for name in ("family", "backbone"):
            del data[name]
        if self.backbone == "qwen3":
            # No fields of a Qwen3-style file, where nothing else is possible.
            for name in ("attention_k_eq_v", "final_logit_softcapping"):
                if not data[name]:
                    del data[name]
        if not self.kind.anchor_apart:
            del data["sample_from_anchor"]  # always true, and no field of a DeepSpec file
        data["target_layer_ids"] = list(self.target_layer_ids)
        data["rope_parameters"] = dict(self.rope_parameters)
        theta = self.rope_parameters.get("rope_theta")
        plain = {
            "architectures": [self.kind.architecture],
            "model_type": "qwen3",
            "tie_word_embeddings": False,
            "layer_types": ["full_attention"] * self.num_hidden_layers,
            "attention_dropout": 0.0,
            **({} if theta is None else {"rope_theta": theta}),
            **data,
        }
        return gemma4_fields(plain) if self.backbone == "gemma4" else plain


def _wrong(name: str, value: object, want: str) -> DrafterFormatError:
    return DrafterFormatError(
        f"the drafter's config has {name}={value!r}; it must be {want}. "
        "Check the checkpoint or take another."
    )


def _rope(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Rope parameters from the new field, or from the older ``rope_theta``/``rope_scaling``."""
    rope = dict(raw.get("rope_parameters") or raw.get("rope_scaling") or {})
    rope.setdefault("rope_type", rope.pop("type", "default"))
    if rope.get("rope_theta") is None:
        rope["rope_theta"] = float(raw.get("rope_theta") or 10000.0)
    return rope


def parse_config(raw: Mapping[str, Any]) -> DrafterConfig:
    """Read the content of a drafter's ``config.json``; ``DrafterFormatError`` if it cannot be.

    One of the speculators layout is read as well.
    """
    try:
        return _parsed(raw)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DrafterFormatError(
            f"the drafter's config.json lacks a field or has one of a wrong type ({error}): "
            "it is no complete DeepSpec config."
        ) from error


def _parsed(raw: Mapping[str, Any]) -> DrafterConfig:
    if is_speculators(raw):
        raw = deepspec_fields(raw)
    elif is_gemma4(raw):
        raw = flat_fields(raw)
    family = _family(raw)
    known = {f.name for f in fields(DrafterConfig)} - {"family"}
    values = {name: raw[name] for name in known & raw.keys()}
    values["rope_parameters"] = _rope(raw)
    if set(raw.get("layer_types") or ()) - {"full_attention"}:
        raise _wrong("layer_types", raw["layer_types"], "full_attention for every layer")
    if KINDS[family].anchor_apart:
        values.update(_dflash(raw))
    if not KINDS[family].heads:
        none = {"markov_rank": 0, "enable_confidence_head": False}
        values = {**none, "confidence_head_with_markov": False, **values}
    values["target_layer_ids"] = tuple(int(i) for i in values["target_layer_ids"])
    if values.get("head_dim") is None:
        values["head_dim"] = values["hidden_size"] // values["num_attention_heads"]
    return DrafterConfig(family=family, **values)


def _family(raw: Mapping[str, Any]) -> Family:
    named = list(raw.get("architectures") or [])
    if is_gemma4(raw):
        return "dspark"
    for family, kind in KINDS.items():
        if named == [kind.architecture]:
            return family
    read = ", ".join((*(kind.architecture for kind in KINDS.values()), GEMMA4_ARCHITECTURE))
    raise DrafterFormatError(
        f"the drafter is of architecture {named or 'unknown'}, this library reads {read}: convert "
        "the checkpoint or take another."
    )


def _dflash(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that DFlash's own files keep in a section; their blocks count the anchor."""
    section = raw.get("dflash_config")
    if section is None:
        return {"sample_from_anchor": bool(raw.get("sample_from_anchor", False))}
    return {
        "target_layer_ids": section["target_layer_ids"],
        "mask_token_id": section["mask_token_id"],
        "block_size": int(section.get("block_size") or raw["block_size"]) - 1,
        "sample_from_anchor": False,
    }


def read_config(folder: Path) -> DrafterConfig:
    """Read ``folder/config.json``."""
    return parse_config(read_raw(folder))


def read_raw(folder: Path) -> dict[str, Any]:
    """Read ``folder/config.json`` as it stands, whatever its layout."""
    path = folder / CONFIG_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DrafterFormatError(
            f"no readable {CONFIG_FILE} in {folder} ({error.strerror}): give a drafter's folder."
        ) from error
    except ValueError as error:
        raise DrafterFormatError(
            f"{path} is not JSON ({error}): fetch the drafter again."
        ) from error
    if not isinstance(raw, dict):
        raise DrafterFormatError(f"{path} holds no JSON object: fetch the drafter again.")
    return raw
